"""Predict the splits of products and queries before near-duplicates are known.

A product alone in its cluster is assigned by the hash of its group, else of its id, and an item of several publishers
(the same item number) by the smallest of these. This holds for most products. Queries, named by their words, and the
items or groups that were judged for them are assigned by community, over the judgements of all of them; the final
assignment takes their splits from here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.curate.settings import WhichCategory
from mmecinstruct.duplicates.clusters import IDENTIFIER_FAMILIES
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.samples import TEST, TEST_OOD, TRAIN, VALIDATION
from mmecinstruct.splits.assign import query_key
from mmecinstruct.splits.judged import CODED_SPLITS, JudgedPairs, split_queries, split_units
from mmecinstruct.tasks.categories import chosen_paths
from mmecinstruct.text.names import same_categories

if TYPE_CHECKING:
    import duckdb

_QUERIES_AT_ONCE = 50_000


def split_sql(settings: SplitSettings, seed: int, purpose: str, column: str) -> str:
    """Return the DuckDB expression of `split_by_hash` over a VARCHAR column.

    Args:
        settings: The shares of the splits.
        seed: The recipe's seed.
        purpose: The purpose of the hash draw.
        column: A VARCHAR expression, the key.
    """
    fraction = f"(({hash_draw_sql(seed, purpose, column)} >> 11)::DOUBLE / {2**53})"
    return (
        f"CASE WHEN {fraction} < {settings.train!r} THEN '{TRAIN}' "
        f"WHEN {fraction} < {settings.train + settings.validation!r} THEN '{VALIDATION}' ELSE '{TEST}' END"
    )


def text_list(values: Collection[str]) -> str:
    """Return texts as a DuckDB list literal."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values))
    return f"[{quoted}]::VARCHAR[]"


def create_expected_products(
    connection: duckdb.DuckDBPyConnection,
    settings: SplitSettings,
    seed: int,
    taken_down: Collection[str] = (),
    which_category: WhichCategory = "deepest",
) -> None:
    """Create the table `expected_product`: each known product once, without those that are taken down.

    Columns: product_id, item (the smallest id of the same item), unit (its group, else the item), category (top level,
    as curation will have it; of an out-of-domain product the out-of-domain one), label (the fine category of a label
    table, else null), has_path, has_image, split, is_judged (false: see `create_expected_queries`). Of several rows
    with one id the first is used.

    Args:
        connection: A connection with the views products, category_labels and product_images, each with file_index and
            row_index.
        settings: The shares of the splits and the out-of-domain categories.
        seed: The recipe's seed.
        taken_down: Ids of products to leave out.
        which_category: Which of several categories of a product is its own.
    """
    outside = text_list(known_ood_categories(connection, settings.ood_categories))
    several = "" if which_category == "rarest" else "WHERE len(paths) > 1"
    chosen = chosen_paths(
        f"""
        SELECT * FROM (
            SELECT product_id, CASE WHEN len(p.category_path) > 0 THEN list_prepend(p.category_path, list_filter(
                coalesce(labels.paths, []), lambda path: path <> p.category_path)) ELSE labels.paths END AS paths
            FROM known_product p LEFT JOIN labels USING (product_id)
        ) {several}
        """,
        which_category,
        outside,
    )
    families = " ".join(
        f"WHEN '{prefix}' THEN '{family}'" for prefix, family in sorted(IDENTIFIER_FAMILIES.items())
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_product AS
        WITH stated AS (
        SELECT product_id, coalesce(category, '') AS category, coalesce(category_path[1], '') AS path_top,
               category_path, coalesce(len(image_urls), 0) > 0 AS has_image,
               -- The product that gives a group its name belongs to it.
               CASE WHEN group_id IS NOT NULL THEN group_id
                    WHEN product_id IN (SELECT group_id FROM products) THEN product_id END AS group_id,
               coalesce(CASE split_part(product_id, ':', 1) {families} END
                        || substr(product_id, strpos(product_id, ':')), product_id) AS item_key,
               file_index, row_index
        FROM products
        WHERE NOT list_contains({text_list(taken_down)}, product_id)
        )
        SELECT * EXCLUDE (file_index, row_index) FROM stated
        QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY file_index, row_index) = 1
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE expected_product AS
        WITH items AS (
            SELECT item_key, min(product_id) AS item, coalesce(min(group_id), item) AS unit,
                   arg_min(path_top, product_id) FILTER (path_top <> '') AS path_top
            FROM known_product GROUP BY item_key
        ), labels AS (
            SELECT product_id, min(fine_category) FILTER (trim(fine_category) <> '') AS label,
                   (min(category_path) FILTER (WHERE len(category_path) > 0))[1] AS path_top,
                   list(DISTINCT category_path ORDER BY category_path) FILTER (len(category_path) > 0) AS paths
            FROM category_labels GROUP BY product_id
        ), images AS (
            SELECT DISTINCT product_id FROM product_images
        ), chosen AS ({chosen}
        ), named AS (
            SELECT p.product_id, items.item, items.unit, l.label,
                   p.path_top <> '' OR coalesce(l.path_top, items.path_top) IS NOT NULL AS has_path,
                   p.has_image OR i.product_id IS NOT NULL AS has_image,
                   coalesce(chosen.path[1], nullif(p.category, ''), l.path_top, items.path_top, '') AS category
            FROM known_product p JOIN items USING (item_key)
            LEFT JOIN chosen ON chosen.product_id = p.product_id
            LEFT JOIN labels l ON l.product_id = p.product_id
            LEFT JOIN images i ON i.product_id = p.product_id
        ), outside AS (
            SELECT DISTINCT unit FROM named WHERE list_contains({outside}, category)
        )
        SELECT named.*, false AS is_judged, CASE WHEN outside.unit IS NOT NULL THEN '{TEST_OOD}'
                        ELSE {split_sql(settings, seed, "split:product", "named.unit")} END AS split
        FROM named LEFT JOIN outside ON outside.unit = named.unit
        """
    )
    connection.execute("DROP TABLE known_product")


def known_ood_categories(connection: duckdb.DuckDBPyConnection, wanted: Collection[str]) -> list[str]:
    """Return the spellings of out-of-domain categories that top levels of the raw tables have, in order."""
    if not wanted:
        return []
    found = connection.execute(
        """
        SELECT DISTINCT category FROM products
        UNION SELECT DISTINCT category_path[1] FROM products
        UNION SELECT DISTINCT category_path[1] FROM category_labels
        """
    ).fetchall()
    return sorted(same_categories(wanted, [name for (name,) in found]))


def create_expected_queries(
    connection: duckdb.DuckDBPyConnection, settings: SplitSettings, seed: int
) -> None:
    """Create the table `expected_query` (query_id, split) of queries with words, and split their products with them.

    Replaces `split` and `is_judged` of the judged units in `expected_product`. Queries are normalised in Python, as for
    the final split; at most _QUERIES_AT_ONCE are in memory, and 16 bytes for each judged pair.

    Args:
        connection: A connection with the view judgements and the table expected_product.
        settings: The shares of the splits.
        seed: The recipe's seed.
    """
    _create_query_keys(connection)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE judged_unit AS
        SELECT unit, row_number() OVER (ORDER BY unit) - 1 AS code FROM (
            SELECT DISTINCT unit FROM expected_product SEMI JOIN (
                SELECT product_id FROM judgements SEMI JOIN query_key USING (query_id)
            ) USING (product_id) WHERE split <> '{TEST_OOD}'
        )
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE judged_key AS
        SELECT key, row_number() OVER (ORDER BY key) - 1 AS code FROM (
            SELECT DISTINCT key FROM query_key JOIN judgements USING (query_id)
            JOIN expected_product USING (product_id) SEMI JOIN judged_unit USING (unit)
        )
        """
    )
    found = connection.execute(
        """
        SELECT DISTINCT judged_key.code AS query, judged_unit.code AS unit_code
        FROM judgements JOIN query_key USING (query_id) JOIN judged_key USING (key)
        JOIN expected_product USING (product_id) JOIN judged_unit USING (unit)
        """
    ).fetchnumpy()
    ordered = np.lexsort((found["unit_code"], found["query"]))
    keys = connection.execute("SELECT key FROM judged_key ORDER BY code").fetchall()
    pairs = JudgedPairs(found["query"][ordered], found["unit_code"][ordered], [key for (key,) in keys])
    of_unit = split_units(pairs, settings, seed)
    for name, codes in (("unit_split", of_unit), ("query_split", split_queries(pairs, of_unit))):
        splits = pa.array(CODED_SPLITS).take(pa.array(codes))
        connection.register(name, pa.table({"code": np.arange(len(codes)), "split": splits}))
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE expected_product AS
        SELECT p.* REPLACE (coalesce(s.split, p.split) AS split, s.split IS NOT NULL AS is_judged)
        FROM expected_product p LEFT JOIN judged_unit i USING (unit) LEFT JOIN unit_split s USING (code)
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE expected_query AS
        SELECT query_id, split FROM query_key JOIN judged_key USING (key) JOIN query_split USING (code)
        """
    )
    for name in ("unit_split", "query_split"):
        connection.unregister(name)
    connection.execute("DROP TABLE query_key; DROP TABLE judged_key; DROP TABLE judged_unit")


def _create_query_keys(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `query_key` (query_id, key) of the queries with words."""
    connection.execute("CREATE OR REPLACE TEMP TABLE query_key (query_id VARCHAR, key VARCHAR)")
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE named_query AS
        SELECT query_id, trim(coalesce(min(query), '')) AS query FROM judgements
        WHERE query_id IS NOT NULL GROUP BY query_id
        """
    )
    ((count,),) = connection.execute("SELECT count(*) FROM named_query").fetchall()
    for start in range(0, count, _QUERIES_AT_ONCE):
        batch = connection.execute(
            "SELECT query_id, query FROM named_query WHERE rowid >= ? AND rowid < ? AND query <> ''",
            [start, start + _QUERIES_AT_ONCE],
        ).fetchall()
        rows = pa.table(
            {
                "query_id": pa.array([query_id for query_id, _ in batch], pa.string()),
                "key": pa.array([query_key(*pair) for pair in batch], pa.string()),
            }
        )
        connection.register("query_batch", rows)
        connection.execute("INSERT INTO query_key SELECT * FROM query_batch")
        connection.unregister("query_batch")
    connection.execute("DROP TABLE named_query")
