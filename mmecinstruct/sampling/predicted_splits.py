"""Predict the splits of products and queries before near-duplicates are known.

A product alone in its cluster is assigned by the hash of its group, else of its id, and an item of several publishers
(the same item number) by the smallest of these. This holds for most products. A query is assigned by its words.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.duplicates.clusters import IDENTIFIER_FAMILIES
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.samples import TEST, TEST_OOD, TRAIN, VALIDATION
from mmecinstruct.splits.assign import query_key, split_by_hash

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
) -> None:
    """Create the table `expected_product`: each known product once, without those that are taken down.

    Columns: product_id, item (the smallest id of the same item), category (top level, as curation will have it),
    label (the fine category of a label table, else null), has_path, has_image, split. Of several rows with one id the
    first is used.

    Args:
        connection: A connection with the views products, category_labels and product_images, each with file_index and
            row_index.
        settings: The shares of the splits and the out-of-domain categories.
        seed: The recipe's seed.
        taken_down: Ids of products to leave out.
    """
    families = " ".join(
        f"WHEN '{prefix}' THEN '{family}'" for prefix, family in sorted(IDENTIFIER_FAMILIES.items())
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_product AS
        WITH stated AS (
        SELECT product_id, coalesce(category, '') AS category, coalesce(category_path[1], '') AS path_top,
               coalesce(len(image_urls), 0) > 0 AS has_image,
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
                   (min(category_path) FILTER (WHERE len(category_path) > 0))[1] AS path_top
            FROM category_labels GROUP BY product_id
        ), images AS (
            SELECT DISTINCT product_id FROM product_images
        ), named AS (
            SELECT p.product_id, items.item, items.unit, l.label,
                   p.path_top <> '' OR coalesce(l.path_top, items.path_top) IS NOT NULL AS has_path,
                   p.has_image OR i.product_id IS NOT NULL AS has_image,
                   coalesce(nullif(p.category, ''), l.path_top, items.path_top, '') AS category
            FROM known_product p JOIN items USING (item_key)
            LEFT JOIN labels l ON l.product_id = p.product_id
            LEFT JOIN images i ON i.product_id = p.product_id
        ), outside AS (
            SELECT DISTINCT unit FROM named WHERE list_contains({text_list(settings.ood_categories)}, category)
        )
        SELECT named.* EXCLUDE (unit), CASE WHEN outside.unit IS NOT NULL THEN '{TEST_OOD}'
                        ELSE {split_sql(settings, seed, "split:product", "named.unit")} END AS split
        FROM named LEFT JOIN outside ON outside.unit = named.unit
        """
    )
    connection.execute("DROP TABLE known_product")


def create_expected_queries(
    connection: duckdb.DuckDBPyConnection, settings: SplitSettings, seed: int
) -> None:
    """Create the table `expected_query` (query_id, split) of the queries with words.

    Queries are normalised in Python, as for the final split; at most _QUERIES_AT_ONCE are in memory.

    Args:
        connection: A connection with the view judgements.
        settings: The shares of the splits.
        seed: The recipe's seed.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE expected_query (query_id VARCHAR, split VARCHAR)")
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
                "split": pa.array(
                    [split_by_hash(settings, seed, "split:query", query_key(*pair)) for pair in batch],
                    pa.string(),
                ),
            }
        )
        connection.register("query_batch", rows)
        connection.execute("INSERT INTO expected_query SELECT * FROM query_batch")
        connection.unregister("query_batch")
    connection.execute("DROP TABLE named_query")
