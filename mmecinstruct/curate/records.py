"""Curate what refers to products: reviews, relations, judgements, questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.parquet import query
from mmecinstruct.recipe import CurateSettings
from mmecinstruct.rejections import Rejection
from mmecinstruct.tables import RAW_TABLES, REVIEWS

if TYPE_CHECKING:
    import duckdb


def curate_reviews(
    connection: duckdb.DuckDBPyConnection, settings: CurateSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Return (reviews in order of id, rejections).

    Rejected are a repeated id (the first stays), a review of an unknown product, and one that is in another
    language than the recipe's with at least the recipe's probability. Views: reviews, languages, products.
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE judged AS
        WITH numbered AS (
            SELECT *, row_number() OVER (PARTITION BY review_id ORDER BY file_index, row_index) AS occurrence
            FROM reviews
        ), spoken AS (
            SELECT file_index, row_index, language, language_score FROM languages
        )
        SELECT numbered.*, language, language_score,
            CASE
                WHEN occurrence > 1 THEN 'duplicate_id'
                WHEN NOT EXISTS (FROM products WHERE products.product_id = numbered.product_id)
                    THEN 'unknown_product'
                WHEN len($languages) > 0 AND language IS NOT NULL AND NOT list_contains($languages, language)
                    AND language_score >= $min_score THEN 'other_language'
            END AS reason
        FROM numbered JOIN spoken USING (file_index, row_index)
        """,
        {"languages": list(settings.languages), "min_score": settings.min_language_score},
    )
    details = {
        "duplicate_id": "another review of this id came before; the first one stays",
        "unknown_product": "no product {}",
        "other_language": "{}",
    }
    rejections = [
        Rejection("curate_reviews", reason, details[reason].format(detail), "", review_id)
        for reason, detail, review_id in connection.execute(
            """
            SELECT reason, CASE reason WHEN 'unknown_product' THEN product_id
                ELSE format('{} ({:.2f})', language, language_score) END, review_id
            FROM judged WHERE reason IS NOT NULL ORDER BY review_id, file_index, row_index
            """
        ).fetchall()
    ]
    kept = query(connection, "SELECT * FROM judged WHERE reason IS NULL ORDER BY review_id", REVIEWS)
    return kept, rejections


# What makes two rows of a table the same record.
_KEYS = {
    "relations": ("product_a", "product_b", "relation"),
    "judgements": ("query_id", "product_id", "label"),
    "questions": ("question_id",),
}


def curate_records(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[pa.Table, list[Rejection]]:
    """Return (rows of the relations, judgements or questions in order of their key, rejections).

    A repeated key is rejected, the first row stays. Whether the products are known is judged by the tasks, each
    by its own rule: a relation may be of use for one product alone.
    """
    keys, schema = _KEYS[name], RAW_TABLES[name]
    listed = ", ".join(keys)
    numbered = (
        f"SELECT *, row_number() OVER (PARTITION BY {listed} ORDER BY file_index, row_index) AS occurrence "
        f"FROM {name}"
    )
    kept = query(connection, f"SELECT * FROM ({numbered}) WHERE occurrence = 1 ORDER BY {listed}", schema)
    rejections = [
        Rejection(f"curate_{name}", "duplicate_row", "the same record came before", "", record_id)
        for (record_id,) in connection.execute(
            f"SELECT concat_ws(' ', {listed}) FROM ({numbered}) WHERE occurrence > 1 ORDER BY {listed}, occurrence"
        ).fetchall()
    ]
    return kept, rejections
