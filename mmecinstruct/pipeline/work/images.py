"""Measure and judge images, or take their URLs as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from mmecinstruct.core.duckdb import DEFAULT_BUDGET, Budget, create_view, working_connection
from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.pipeline.work.files import Paths, write_rejections
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, IMAGES


@dataclass(frozen=True)
class ImagesPayload:
    """Measure a slice of the located images."""

    located: Path
    start: int
    stop: int
    settings: ImageSettings


def measure_images_work(payload: ImagesPayload, folder: Path) -> Counts:
    """Write images.parquet (one row per URL) and pixels.parquet (one row per distinct image)."""
    from mmecinstruct.images.locate import LocatedImage
    from mmecinstruct.images.measure_all import measure_images

    rows = pq.read_table(payload.located).slice(payload.start, payload.stop - payload.start).to_pylist()
    located = [LocatedImage(**row) for row in rows]
    images, pixels, rejections = measure_images(located, payload.settings)
    write_table(images, folder / "images.parquet")
    pq.write_table(pixels, folder / "pixels.parquet", compression="none", row_group_size=100)
    write_rejections(rejections, folder)
    return Counts(images.num_rows, images.num_rows - len(rejections), len(rejections))


@dataclass(frozen=True)
class ReferencesPayload:
    """Take the URLs of all images as they are."""

    products: Paths
    reviews: Paths
    settings: ImageSettings
    taken_down: frozenset[str]
    budget: Budget = DEFAULT_BUDGET


def reference_images_work(payload: ReferencesPayload, folder: Path) -> Counts:
    """Write images.parquet, one row per URL that a product or a review names."""
    from mmecinstruct.images.references import reference_images

    with working_connection(folder, payload.budget) as connection:
        create_view(connection, "products", payload.products, CURATED_PRODUCTS)
        create_view(connection, "reviews", payload.reviews, CURATED_REVIEWS)
        table, rejections = reference_images(connection, payload.settings, payload.taken_down)
    write_table(table, folder / "images.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))


@dataclass(frozen=True)
class VerdictsPayload:
    """Judge all images together."""

    images: Paths
    products: Paths
    settings: ImageSettings
    budget: Budget = DEFAULT_BUDGET


def judge_images_work(payload: VerdictsPayload, folder: Path) -> Counts:
    """Write images.parquet with what the recipe does not want rejected."""
    from mmecinstruct.images.filter import filter_images

    with working_connection(folder, payload.budget) as connection:
        connection.register("images", read_tables(payload.images, IMAGES))
        create_view(connection, "products", payload.products, CURATED_PRODUCTS)
        table, rejections = filter_images(connection, payload.settings)
    write_table(table, folder / "images.parquet")
    write_rejections(rejections, folder)
    return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))
