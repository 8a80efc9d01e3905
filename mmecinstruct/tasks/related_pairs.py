"""Pairs of related products over whole tables of relations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

ALSO_BOUGHT, ALSO_VIEWED, SIMILAR, OTHER = 1, 2, 4, 8  # bits of `relation_bits`


def create_related_pairs(
    connection: duckdb.DuckDBPyConnection, relations: str, products: str, target: str
) -> None:
    """Create the table `target` with the unordered pairs of known products that are related.

    relations: a table or view with product_a, product_b, relation, in which a pair may occur several times and in both
    directions. products: one with product_id, each id once. target: product_a < product_b, relation_bits (the set of
    the pair's relations: ALSO_BOUGHT, ALSO_VIEWED, SIMILAR, and OTHER for any other name), relation (its name, null
    where the pair has several or one that is none of the three), several (whether it has several); a temporary table,
    replaced where it exists. A product related to itself makes no pair.

    Products are numbered first, so that grouping reads only two integers and a bit per relation of known products.
    """
    try:
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE related_product AS
            SELECT product_id, (row_number() OVER ())::UINTEGER AS code FROM {products}
            """
        )
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE {target} AS
            WITH directed AS (
                SELECT one.code AS one, two.code AS two,
                       (CASE relation WHEN 'also_bought' THEN {ALSO_BOUGHT} WHEN 'also_viewed' THEN {ALSO_VIEWED}
                        WHEN 'similar' THEN {SIMILAR} ELSE {OTHER} END)::UTINYINT AS bit
                FROM {relations} r
                JOIN related_product one ON one.product_id = r.product_a
                JOIN related_product two ON two.product_id = r.product_b
                -- Not a comparison of codes: a condition between the two products could be taken for a join of
                -- them, and a plan that begins with every pair of products is never done.
                WHERE r.product_a <> r.product_b
            ), pairs AS (
                SELECT least(one, two) AS low, greatest(one, two) AS high, bit_or(bit) AS relation_bits
                FROM directed GROUP BY low, high
            )
            SELECT least(one.product_id, two.product_id) AS product_a,
                   greatest(one.product_id, two.product_id) AS product_b, relation_bits,
                   CASE relation_bits WHEN {ALSO_BOUGHT} THEN 'also_bought' WHEN {ALSO_VIEWED} THEN 'also_viewed'
                        WHEN {SIMILAR} THEN 'similar' END AS relation,
                   bit_count(relation_bits) > 1 AS several
            FROM pairs
            JOIN related_product one ON one.code = low
            JOIN related_product two ON two.code = high
            """
        )
    finally:
        connection.execute("DROP TABLE IF EXISTS related_product")
