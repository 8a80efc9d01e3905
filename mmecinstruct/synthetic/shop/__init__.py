"""The built-in sample shop: drawn from a seed, written as raw files in the publishers' formats.

`draw_sample_shop` writes the tables, `images_to_draw` lists its images and `draw_images` draws any part
of them. `ask_oracle` returns for finished samples whether their answer needs the image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from mmecinstruct.recipe import SampleShopSettings
    from mmecinstruct.synthetic.shop.image_spec import ImageSpec

__all__ = ["ask_oracle", "draw_images", "draw_sample_shop", "images_to_draw"]


def draw_sample_shop(
    settings: SampleShopSettings,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the shop's raw files, its latent attributes and the list of its images into an empty folder.

    The images themselves are drawn by `draw_images`, so that several workers can share the work.
    progress: called with (finished steps, all steps).
    """
    from mmecinstruct.synthetic.shop.assembly import assemble

    assemble(settings, seed, folder, progress or (lambda done, total: None))


def images_to_draw(folder: Path) -> list[ImageSpec]:
    """Return what images the shop in `folder` has, in a fixed order; none for a shop without images."""
    from mmecinstruct.synthetic.shop.image_spec import read_specs

    return read_specs(folder)


def draw_images(
    specs: list[ImageSpec],
    folder: Path,
    side: int = 224,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw images into `folder`/images/I. side: width and height in pixels; progress: (drawn, all)."""
    from mmecinstruct.synthetic.shop.image import draw_image

    place = folder / "images" / "I"
    place.mkdir(parents=True, exist_ok=True)
    for drawn, spec in enumerate(specs, start=1):
        (place / f"{spec.image_id}.jpg").write_bytes(draw_image(spec, side))
        if progress is not None:
            progress(drawn, len(specs))


def ask_oracle(samples: pa.Table, folder: Path) -> pa.Table:
    """Return (id, visual_critical, text_only_accuracy) of finished samples of the shop in `folder`.

    The rows keep their order; `oracle.ask` has the rules.
    """
    from mmecinstruct.synthetic.shop.oracle import ask

    return ask(samples, folder)
