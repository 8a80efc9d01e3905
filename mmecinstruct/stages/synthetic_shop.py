"""The built-in shop: its raw files, then its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop import image_specs, render_images, write_sample_shop

TABLES = "tables"
IMAGES_PER_ITEM = 256


@dataclass(frozen=True, kw_only=True)
class SyntheticShop(Stage):
    """Write the shop's raw files, in the publishers' formats, without images."""

    name = "synthetic_shop"
    version = 4

    settings: SampleShopSettings
    seed: int

    def items(self) -> Sequence[WorkItem]:
        """Return one item, whose folder is the shop's data root."""
        return [WorkItem(TABLES)]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Write the raw files and the ground truth."""
        write_sample_shop(self.settings, self.seed, folder)
        return Counts(self.settings.products, self.settings.products, 0)


@dataclass(frozen=True, kw_only=True)
class SyntheticShopImages(Stage):
    """Render the shop's images. shop: its data root."""

    name = "synthetic_shop_images"
    version = 2
    libraries = ("numpy", "pillow")

    shop: Files
    side: int

    def items(self) -> Sequence[WorkItem]:
        """Cut the shop's list of images; a payload is the range of an item."""
        total = len(image_specs(self.shop.paths[0]))
        return [
            WorkItem(f"images-{start // IMAGES_PER_ITEM:06d}", (start, min(start + IMAGES_PER_ITEM, total)))
            for start in range(0, total, IMAGES_PER_ITEM)
        ]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Write the images of a range."""
        start, stop = item.payload
        specifications = image_specs(self.shop.paths[0])[start:stop]
        render_images(specifications, folder, self.side)
        return Counts(len(specifications), len(specifications), 0)


def synthetic_shop(run: Run, settings: SampleShopSettings, seed: int) -> tuple[Files, list[Path]]:
    """Run both stages.

    Returns:
        The shop's data root as what later stages read, and all folders that together are the build's data root.
    """
    output = run.run(SyntheticShop(settings=settings, seed=seed))
    shop = Files((output.folder / TABLES,), {output.name: output.fingerprint})
    run.reads(shop)
    if not settings.images:
        return shop, [*shop.paths]
    images = run.run(SyntheticShopImages(shop=shop, side=settings.image_side))
    run.reads(Files((images.folder,), {images.name: images.fingerprint}))
    return shop, [*shop.paths, *(images.folder / key for key in sorted(images.extra))]
