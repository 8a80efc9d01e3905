"""Join products over their sources and cluster them by title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.stages.files import write_rejections
from mmecinstruct.text.hygiene import mask_products
from mmecinstruct.text.pii_kinds import PersonalDataKind

# Of its counts: names of categories that were replaced by another spelling, and that spelling.
SPELLINGS = "spellings"


@dataclass(frozen=True, kw_only=True)
class CurateProducts(Stage):
    """Write products.parquet, with names masked. taken_down: ids of products that no build may hold."""

    name = "curate_products"
    version = 6
    libraries = ("duckdb", "pyarrow", "rensa")

    products: Files
    category_labels: Files
    product_images: Files
    title_similarity: float
    taken_down: frozenset[str]
    mask: tuple[PersonalDataKind, ...]
    mask_titles: bool
    budget: Budget = field(metadata=RUNTIME)

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Curate all products at once."""
        from mmecinstruct.curate.products import curate_products

        with working_connection(folder, self.budget) as connection:
            for name in ("products", "category_labels", "product_images"):
                create_view(connection, name, getattr(self, name).paths, RAW_TABLES[name])
            table, rejections, spellings = curate_products(connection, self.title_similarity, self.taken_down)
        searched = mask_products(table, self.mask, self.mask_titles)
        table = searched.table
        write_table(table, folder / "products.parquet")
        write_rejections(rejections, folder)
        clusters = len(set(table["cluster_id"].to_pylist()))
        found = {
            "searched": table.num_rows,
            "suspicious": searched.rows,
            "masked": dict(sorted(searched.masked.items())) if self.mask_titles else {},
        }
        return Counts(
            table.num_rows + len(rejections),
            table.num_rows,
            len(rejections),
            {"clusters": clusters, SPELLINGS: spellings, "names": found},
        )


def curate_products_stage(
    raw: Sequence[StageOutput],
    title_similarity: float,
    taken_down: frozenset[str],
    budget: Budget,
    settings: CurateSettings = CurateSettings(),  # noqa: B008 (frozen)
) -> CurateProducts:
    """Return the stage over raw tables. settings: `mask` and `mask_titles` are read."""
    return CurateProducts(
        products=Files.of(raw, "products.parquet"),
        category_labels=Files.of(raw, "category_labels.parquet"),
        product_images=Files.of(raw, "product_images.parquet"),
        title_similarity=title_similarity,
        taken_down=taken_down,
        mask=settings.mask,
        mask_titles=settings.mask_titles,
        budget=budget,
    )
