"""The built-in sample shop: synthetic products from a seed, written as raw files in the publishers' formats.

`write_sample_shop` writes the tables, `image_specs` lists the images, `render_images` renders any part of them,
`apply_oracle` returns for finished samples whether the answer needs the image, and `product_attributes` returns what
the images show of each product.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES

if TYPE_CHECKING:
    import pyarrow as pa

    from mmecinstruct.recipe import SampleShopSettings
    from mmecinstruct.synthetic.shop.image_spec import ImageSpec

__all__ = ["apply_oracle", "image_specs", "product_attributes", "render_images", "write_sample_shop"]


def write_sample_shop(
    settings: SampleShopSettings,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the shop's raw files, its ground truth and the list of its images into an empty folder.

    `render_images` renders the images, so that several workers can share the work.

    Args:
        settings: The size of the shop, and whether it has images and dirt.
        seed: The seed of all hash draws.
        folder: An empty folder.
        progress: Called with (finished steps, all steps).
    """
    from mmecinstruct.synthetic.shop.assembly import assemble

    assemble(settings, seed, folder, progress or (lambda done, total: None))


def image_specs(folder: Path) -> list[ImageSpec]:
    """Return the specifications of the shop's images, in a fixed order; none for a shop without images.

    Raises:
        SourceError: The folder has no sample shop.
    """
    from mmecinstruct.synthetic.shop.image_spec import read_specs

    return read_specs(folder)


def render_images(
    specs: list[ImageSpec],
    folder: Path,
    side: int = 224,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render images into `folder`/images/I.

    Args:
        specs: The specifications of the images.
        folder: The folder of the shop.
        side: Width and height in pixels.
        progress: Called with (rendered images, all images).
    """
    from mmecinstruct.synthetic.shop.image import render_image

    image_folder = folder / "images" / "I"
    image_folder.mkdir(parents=True, exist_ok=True)
    for rendered, spec in enumerate(specs, start=1):
        (image_folder / f"{spec.image_id}.jpg").write_bytes(render_image(spec, side))
        if progress is not None:
            progress(rendered, len(specs))


def apply_oracle(samples: pa.Table, folder: Path) -> pa.Table:
    """Return a table of (id, visual_critical, text_only_accuracy) for finished samples, in their order.

    Args:
        samples: Samples that were built from the shop.
        folder: The folder of the shop.

    Raises:
        SourceError: The folder has no sample shop.
    """
    from mmecinstruct.synthetic.shop.oracle import ask

    return ask(samples, folder)


def product_attributes(settings: SampleShopSettings, seed: int) -> dict[str, dict[str, str]]:
    """Return the ground truth of the shop's products: what their images show, and some of their texts.

    Args:
        settings: The size of the shop, and whether it has images and dirt.
        seed: The seed of all hash draws.

    Returns:
        Values of `colour`, `pattern`, `shape`, `fine_category`, `material` and `brand`, by the product's id.
    """
    from mmecinstruct.synthetic.shop.assembly import make_shop

    return {
        product.asin: {
            "colour": product.colour,
            "pattern": product.pattern,
            "shape": product.shape,
            "fine_category": FINE_CATEGORIES[product.fine].name,
            "material": product.material,
            "brand": product.brand,
        }
        for product in make_shop(settings, seed).all_products
    }
