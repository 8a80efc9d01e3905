"""Assign products and queries to splits, what never crosses splits together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.duplicates.pairs import PRODUCT_PAIRS
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.recipe import Recipe, SplitSettings
from mmecinstruct.sampling.plan import JUDGED, JUDGED_FILE
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, JUDGEMENTS, RELATIONS
from mmecinstruct.splits.assign import assign_products, query_key
from mmecinstruct.splits.cut_off import COLUMNS, products_cut_off
from mmecinstruct.stages.files import MERGED, CuratedTables
from mmecinstruct.text.names import same_categories

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
_PAIRS = pa.schema([PRODUCT_PAIRS.field(name) for name in COLUMNS])
_PRODUCT_COLUMNS = ("product_id", "cluster_id", "split_unit", "group_id", "category", "other_category_paths")
QUERIES_FILE = "queries.parquet"
# query: the query's key (`query_key`).
QUERIES = pa.schema([("query", pa.string()), ("split", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Assign(Stage):
    """Write assignment.parquet and queries.parquet.

    The first has each product's cluster, split and group, the second each judged query's split.

    Attributes:
        products: the curated products.
        pairs: the near-duplicates (PRODUCT_PAIRS).
        relations: the relations, read by the scheme `communities` only.
        judgements: the relevance judgements.
        split: the scheme, the shares and the out-of-domain categories.
        seed: the recipe's.
        predicted: where the recipe samples, the splits of judged products over whole tables.
        merged: the products that were merged since.
    """

    name = "assign"
    version = 3
    libraries = ("numpy",)

    products: Files
    pairs: Files
    relations: Files
    judgements: Files
    split: SplitSettings
    seed: int
    predicted: Files | None
    merged: Files

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Assign all products at once."""
        products = _columns(self.products, CURATED_PRODUCTS, *_PRODUCT_COLUMNS)
        pairs: Iterator[tuple[str, str]] = iter(())
        if self.split.scheme == "communities":
            relations = read_tables(self.relations.paths, RELATIONS)
            pairs = zip(relations["product_a"].to_pylist(), relations["product_b"].to_pylist(), strict=True)
        unit_of = dict(
            zip(products["product_id"].to_pylist(), products["split_unit"].to_pylist(), strict=True)
        )
        assigned = assign_products(
            unit_of,
            _outside(products, self.split.ood_categories),
            self.split,
            self.seed,
            relations=pairs,
            judged=self._judged(),
            predicted=self._predicted(),
        )
        splits = {product: assigned.units[unit] for product, unit in unit_of.items()}
        cut_off = products_cut_off(splits, read_tables(self.pairs.paths, _PAIRS).to_pylist())
        table = pa.table(
            {
                "product_id": products["product_id"],
                "cluster_id": products["cluster_id"],
                "split": pa.array(list(splits.values()), pa.string()),
                "group_id": products["group_id"],
                "cut_off": pc.is_in(products["product_id"], pa.array(sorted(cut_off), pa.string())),
            },
            schema=ASSIGNED,
        )
        write_table(table, folder / ASSIGNED_FILE)
        queries = {"query": list(assigned.queries), "split": list(assigned.queries.values())}
        write_table(pa.table(queries, schema=QUERIES), folder / QUERIES_FILE)
        counts = {
            name: {split: list(found.values()).count(split) for split in SPLITS}
            for name, found in (("clusters", assigned.units), ("queries", assigned.queries))
        }
        return Counts(table.num_rows, table.num_rows, 0, {**counts, "cut_off_products": len(cut_off)})

    def _judged(self) -> Iterator[tuple[str, str]]:
        """Yield the key of each judgement's query, and its product."""
        table = _columns(self.judgements, JUDGEMENTS, "query_id", "query", "product_id")
        keys: dict[tuple[str, str], str] = {}
        for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True):
            query, product = (row[0] or "", (row[1] or "").strip()), row[2]
            if query not in keys:
                keys[query] = query_key(*query)
            yield keys[query], product

    def _predicted(self) -> dict[str, str] | None:
        """Return the split of each judged product that is still there."""
        if self.predicted is None:
            return None
        names = read_tables(self.merged.paths, MERGED)
        merged = dict(zip(names["merged"].to_pylist(), names["kept"].to_pylist(), strict=True))
        table = read_tables(self.predicted.paths, JUDGED)
        return {
            merged.get(product, product): split
            for product, split in zip(
                table["product_id"].to_pylist(), table["split"].to_pylist(), strict=True
            )
        }


def _columns(files: Files, schema: pa.Schema, *names: str) -> pa.Table:
    return read_tables(files.paths, pa.schema([schema.field(name) for name in names]))


def _outside(products: pa.Table, ood_categories: tuple[str, ...]) -> set[str]:
    """Return the split units with a product that is in an out-of-domain category by any of its paths."""
    if not ood_categories:
        return set()
    tops = [
        {category, *(path[0] for path in others or () if path)}
        for category, others in zip(
            products["category"].to_pylist(), products["other_category_paths"].to_pylist(), strict=True
        )
    ]
    wanted = same_categories(ood_categories, set().union(*tops))
    return {
        unit
        for unit, found in zip(products["split_unit"].to_pylist(), tops, strict=True)
        if not wanted.isdisjoint(found)
    }


def assign_stage(
    recipe: Recipe, tables: CuratedTables, pairs: Files, sample: StageOutput | None, merged: Files
) -> Assign:
    """Return the stage. sample: the output of `sample`, where the recipe samples."""
    return Assign(
        products=tables.products,
        pairs=pairs,
        relations=tables.relations,
        judgements=tables.judgements,
        split=recipe.split.assigning(),
        seed=recipe.seed,
        predicted=Files.of(sample, JUDGED_FILE) if sample else None,
        merged=merged if sample else Files(),
    )
