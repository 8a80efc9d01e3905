"""Apply the recipe's thresholds to measured images. Nothing is decoded: a changed threshold takes seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.images.filter import filter_images
from mmecinstruct.images.settings import FILTERING, ImageSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, IMAGES
from mmecinstruct.stages.files import write_rejections


@dataclass(frozen=True, kw_only=True)
class FilterImages(Stage):
    """Write images.parquet with unwanted images rejected. settings: those of FILTERING only."""

    name = "filter"
    version = 3
    libraries = ("duckdb",)

    images: Files
    products: Files
    settings: ImageSettings
    budget: Budget = field(metadata=RUNTIME)

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Filter all images at once."""
        with working_connection(folder, self.budget) as connection:
            connection.register("images", read_tables(self.images.paths, IMAGES))
            create_view(connection, "products", self.products.paths, CURATED_PRODUCTS)
            table, rejections = filter_images(connection, self.settings)
        write_table(table, folder / "images.parquet")
        write_rejections(rejections, folder)
        return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))


def filter_stage(
    measured: StageOutput, products: Files, settings: ImageSettings, budget: Budget
) -> FilterImages:
    """Return the stage over the output of `images`. products: files of CURATED_PRODUCTS."""
    return FilterImages(
        images=Files.of(measured, "images.parquet"),
        products=products,
        settings=only(settings, FILTERING),
        budget=budget,
    )
