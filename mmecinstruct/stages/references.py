"""Take images published by URL only as they are: nothing is downloaded or measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, WorkItem, only
from mmecinstruct.images.references import reference_images
from mmecinstruct.images.settings import URL_FILTERING, ImageSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS
from mmecinstruct.stages.files import CuratedTables, write_rejections


@dataclass(frozen=True, kw_only=True)
class ReferenceImages(Stage):
    """Write images.parquet, one row per URL that a product or a review names.

    Attributes:
        products: curated products.
        reviews: curated reviews.
        settings: those of URL_FILTERING only.
        taken_down: full-size URLs that no build may hold.
    """

    name = "references"
    version = 5
    libraries = ("duckdb",)

    products: Files
    reviews: Files
    settings: ImageSettings
    taken_down: frozenset[str]
    budget: Budget = field(metadata=RUNTIME)

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Check all URLs at once."""
        with working_connection(folder, self.budget) as connection:
            create_view(connection, "products", self.products.paths, CURATED_PRODUCTS)
            create_view(connection, "reviews", self.reviews.paths, CURATED_REVIEWS)
            table, rejections = reference_images(connection, self.settings, self.taken_down)
        write_table(table, folder / "images.parquet")
        write_rejections(rejections, folder)
        return Counts(table.num_rows, table.num_rows - len(rejections), len(rejections))


def references_stage(
    tables: CuratedTables, settings: ImageSettings, taken_down: frozenset[str], budget: Budget
) -> ReferenceImages:
    """Return the stage over the curated tables."""
    return ReferenceImages(
        products=tables.products,
        reviews=tables.reviews,
        settings=only(settings, URL_FILTERING),
        taken_down=taken_down,
        budget=budget,
    )
