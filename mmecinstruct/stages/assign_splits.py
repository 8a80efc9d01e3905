"""Assign products to splits, near-duplicates together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, RELATIONS
from mmecinstruct.splits.assign import assign_products

ASSIGNED_FILE = "assignment.parquet"
ASSIGNED = pa.schema([("product_id", pa.string()), ("cluster_id", pa.string()), ("split", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Assign(Stage):
    """Write assignment.parquet: each product's cluster and split."""

    name = "assign"
    version = 1

    products: Files
    relations: Files
    split: SplitSettings
    seed: int

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Assign all products at once."""
        products = read_tables(self.products.paths, CURATED_PRODUCTS)
        pairs: list[tuple[str, str]] = []
        if self.split.scheme == "communities":
            relations = read_tables(self.relations.paths, RELATIONS)
            pairs = list(
                zip(relations["product_a"].to_pylist(), relations["product_b"].to_pylist(), strict=True)
            )
        cluster_of, split_of = assign_products(products, pairs, self.split, self.seed)
        table = pa.table(
            {
                "product_id": list(cluster_of),
                "cluster_id": list(cluster_of.values()),
                "split": [split_of[cluster] for cluster in cluster_of.values()],
            },
            schema=ASSIGNED,
        )
        write_table(table, folder / ASSIGNED_FILE)
        counts = {split: sum(1 for name in split_of.values() if name == split) for split in SPLITS}
        return Counts(table.num_rows, table.num_rows, 0, {"clusters": counts})
