"""Cluster near-duplicate products; where the recipe merges, point other records to the one that stays of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_REVIEWS, CURATED_TABLES, IMAGES
from mmecinstruct.stages.files import MERGED, MERGED_FILE, write_rejections

MERGED_TABLES = ("reviews", "relations", "judgements", "questions")


@dataclass(frozen=True, kw_only=True)
class Deduplicate(Stage):
    """Write products.parquet with the final clusters, pairs.parquet (the evidence) and merged.parquet."""

    name = "deduplicate"
    version = 4
    libraries = ("numpy", "rensa")

    products: Files
    images: Files
    reviews: Files
    settings: DuplicateSettings
    # Files of PIXELS, where the settings ask for a second look.
    sketches: Files

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Cluster all products at once."""
        from mmecinstruct.duplicates.find import REVIEW_COLUMNS, find_duplicates

        products = read_tables(self.products.paths, CURATED_PRODUCTS)
        wanted = pa.schema([CURATED_REVIEWS.field(name) for name in REVIEW_COLUMNS])
        images, reviews = read_tables(self.images.paths, IMAGES), read_tables(self.reviews.paths, wanted)
        found = find_duplicates(products, images, self.settings, reviews, self.sketches.paths)
        write_table(found.products, folder / "products.parquet")
        write_table(found.pairs, folder / "pairs.parquet")
        write_table(
            pa.table({"merged": list(found.merged), "kept": list(found.merged.values())}, schema=MERGED),
            folder / MERGED_FILE,
        )
        write_rejections(found.rejections, folder)
        return Counts(products.num_rows, found.products.num_rows, len(found.rejections), found.statistics)


@dataclass(frozen=True, kw_only=True)
class MergeRecords(Stage):
    """Write `<table>.parquet`: a table's records with the ids of the products that stayed."""

    name = "merge"
    version = 2

    table: str
    records: Files
    merged: Files

    @property
    def label(self) -> str:
        """The stage's name with the table."""
        return f"{self.name}-{self.table}"

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Point all records of the table to the products that stayed."""
        from mmecinstruct.duplicates.remap_ids import repoint

        table = read_tables(self.records.paths, CURATED_TABLES[self.table])
        names = read_tables(self.merged.paths, MERGED)
        merged = dict(zip(names["merged"].to_pylist(), names["kept"].to_pylist(), strict=True))
        kept, rejections = repoint(self.table, table, merged)
        write_table(kept, folder / f"{self.table}.parquet")
        write_rejections(rejections, folder)
        return Counts(table.num_rows, kept.num_rows, len(rejections))
