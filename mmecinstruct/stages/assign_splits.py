"""Assign products and queries to splits, what never crosses splits together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.recipe import Recipe, SplitSettings
from mmecinstruct.sampling.plan import JUDGED, JUDGED_FILE
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, JUDGEMENTS, RELATIONS
from mmecinstruct.splits.assign import assign_products, query_key
from mmecinstruct.stages.files import MERGED, CuratedTables
from mmecinstruct.text.names import same_categories

ASSIGNED_FILE = "assignment.parquet"
ASSIGNED = pa.schema([("product_id", pa.string()), ("cluster_id", pa.string()), ("split", pa.string())])
QUERIES_FILE = "queries.parquet"
# query: the query's key (`query_key`).
QUERIES = pa.schema([("query", pa.string()), ("split", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Assign(Stage):
    """Write assignment.parquet, each product's cluster and split, and queries.parquet, each judged query's split.

    predicted: where the recipe samples, the splits of judged products over whole tables. merged: the products that were
    merged since.
    """

    name = "assign"
    version = 2
    libraries = ("numpy",)

    products: Files
    relations: Files
    judgements: Files
    split: SplitSettings
    seed: int
    predicted: Files | None
    merged: Files

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Assign all products at once."""
        products = _columns(
            self.products, CURATED_PRODUCTS, "product_id", "cluster_id", "category", "other_category_paths"
        )
        cluster_of = dict(
            zip(products["product_id"].to_pylist(), products["cluster_id"].to_pylist(), strict=True)
        )
        outside = _outside(products, self.split.ood_categories)
        pairs: Iterator[tuple[str, str]] = iter(())
        if self.split.scheme == "communities":
            relations = read_tables(self.relations.paths, RELATIONS)
            pairs = zip(relations["product_a"].to_pylist(), relations["product_b"].to_pylist(), strict=True)
        splits = assign_products(
            cluster_of,
            outside,
            self.split,
            self.seed,
            relations=pairs,
            judged=self._judged(),
            predicted=self._predicted(),
        )
        table = pa.table(
            {
                "product_id": list(cluster_of),
                "cluster_id": list(cluster_of.values()),
                "split": [splits.units[cluster] for cluster in cluster_of.values()],
            },
            schema=ASSIGNED,
        )
        write_table(table, folder / ASSIGNED_FILE)
        queries = {"query": list(splits.queries), "split": list(splits.queries.values())}
        write_table(pa.table(queries, schema=QUERIES), folder / QUERIES_FILE)
        counts = {
            name: {split: list(found.values()).count(split) for split in SPLITS}
            for name, found in (("clusters", splits.units), ("queries", splits.queries))
        }
        return Counts(table.num_rows, table.num_rows, 0, counts)

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
    """Return the clusters with a product that is in an out-of-domain category by any of its paths."""
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
        cluster
        for cluster, found in zip(products["cluster_id"].to_pylist(), tops, strict=True)
        if not wanted.isdisjoint(found)
    }


def assign_stage(recipe: Recipe, tables: CuratedTables, sample: StageOutput | None, merged: Files) -> Assign:
    """Return the stage. sample: the output of `sample`, where the recipe samples."""
    return Assign(
        products=tables.products,
        relations=tables.relations,
        judgements=tables.judgements,
        split=recipe.split,
        seed=recipe.seed,
        predicted=Files.of(sample, JUDGED_FILE) if sample else None,
        merged=merged if sample else Files(),
    )
