"""Draw the built-in shop: its raw tables, then its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.engine.stage import Counts
from mmecinstruct.recipe import SampleShopSettings


@dataclass(frozen=True)
class ShopTablesPayload:
    """Draw the shop's raw tables."""

    settings: SampleShopSettings
    seed: int


def draw_shop_tables(payload: ShopTablesPayload, folder: Path) -> Counts:
    """Write the built-in shop's raw files, without images."""
    from mmecinstruct.synthetic.shop import write_sample_shop

    write_sample_shop(payload.settings, payload.seed, folder)
    return Counts(payload.settings.products, payload.settings.products, 0)


@dataclass(frozen=True)
class ShopImagesPayload:
    """Draw a slice of the shop's images."""

    shop: Path
    start: int
    stop: int
    side: int


def draw_shop_images(payload: ShopImagesPayload, folder: Path) -> Counts:
    """Write the images of a slice of the shop's list of images."""
    from mmecinstruct.synthetic.shop import image_specs, render_images

    specifications = image_specs(payload.shop)[payload.start : payload.stop]
    render_images(specifications, folder, payload.side)
    return Counts(len(specifications), len(specifications), 0)
