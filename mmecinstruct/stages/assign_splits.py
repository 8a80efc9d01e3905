"""Assign products to splits, near-duplicates and the variants of one article together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, RELATIONS
from mmecinstruct.splits.assign import assign_products

ASSIGNED_FILE = "assignment.parquet"
ASSIGNED = pa.schema(
    [
        ("product_id", pa.string()),
        ("cluster_id", pa.string()),
        ("split", pa.string()),
        ("group_id", pa.string()),
        # Near a product of an earlier split: a cluster above `max_cluster_size` was cut between them.
        ("cut_off", pa.bool_()),
    ]
)
_PAIRS = pa.schema([("product_a", pa.string()), ("product_b", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Assign(Stage):
    """Write assignment.parquet: each product's cluster, split and group. pairs: the near-duplicates (PRODUCT_PAIRS)."""

    name = "assign"
    version = 2

    products: Files
    pairs: Files
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
        units = products.drop_columns("cluster_id").rename_columns({"split_unit": "cluster_id"})
        unit_of, split_of = assign_products(units, pairs, self.split, self.seed)
        splits = {product: split_of[unit] for product, unit in unit_of.items()}
        near = read_tables(self.pairs.paths, _PAIRS)
        cut_off = _cut_off(splits, near["product_a"].to_pylist(), near["product_b"].to_pylist())
        ids = products["product_id"]
        table = pa.table(
            {
                "product_id": ids,
                "cluster_id": products["cluster_id"],
                "split": pa.array([splits[product] for product in ids.to_pylist()], pa.string()),
                "group_id": products["group_id"],
                "cut_off": pc.is_in(ids, pa.array(sorted(cut_off), pa.string())),
            },
            schema=ASSIGNED,
        )
        write_table(table, folder / ASSIGNED_FILE)
        counts = {split: sum(1 for name in split_of.values() if name == split) for split in SPLITS}
        return Counts(
            table.num_rows, table.num_rows, 0, {"clusters": counts, "cut_off_products": len(cut_off)}
        )


def _cut_off(splits: Mapping[str, str], left: Sequence[str], right: Sequence[str]) -> set[str]:
    """Return of each pair of near-duplicates in two splits the product of the later one."""
    rank = {split: number for number, split in enumerate(SPLITS)}
    found = set()
    for pair in zip(left, right, strict=True):
        # A merged record is no product any more.
        a, b = (rank.get(splits.get(product, ""), -1) for product in pair)
        if a != b and min(a, b) >= 0:
            found.add(pair[0] if a > b else pair[1])
    return found
