"""Curate what refers to products: reviews, relations, judgements, questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.duckdb import query
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_TABLES

if TYPE_CHECKING:
    import duckdb


# The language that decides is another one than the recipe's, with at least the recipe's probability.
_OTHER_LANGUAGE = """len($languages) > 0 AND language IS NOT NULL AND NOT list_contains($languages, language)
                    AND language_score >= $min_score"""


def curate_reviews(
    connection: duckdb.DuckDBPyConnection, settings: CurateSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Return (reviews in order of id, rejections).

    Rejected are a repeated id (the first stays) and a review of an unknown product. One that is in another language
    than the recipe's with at least the recipe's probability stays without its title, text and images: whatever it
    says, its user has the product. Views: reviews (tables.CURATED_REVIEWS), products.
    """
    return _judge(
        connection,
        "reviews",
        "review_id",
        """CASE
                WHEN occurrence > 1 THEN 'duplicate_id'
                WHEN NOT EXISTS (FROM products WHERE products.product_id = numbered.product_id)
                    THEN 'unknown_product'
            END""",
        {
            "duplicate_id": "another review of this id came before; the first one stays",
            "unknown_product": "no product {}",
        },
        settings,
        withheld=("title", "text", "image_urls"),
    )


def curate_questions(
    connection: duckdb.DuckDBPyConnection, settings: CurateSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Return (questions in order of id, rejections).

    Rejected are a repeated id (the first stays) and a question in another language, as reviews are. View: questions
    (tables.CURATED_QUESTIONS).
    """
    return _judge(
        connection,
        "questions",
        "question_id",
        f"CASE WHEN occurrence > 1 THEN 'duplicate_row' WHEN {_OTHER_LANGUAGE} THEN 'other_language' END",
        {"duplicate_row": "the same record came before", "other_language": "{}"},
        settings,
    )


def _judge(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    key: str,
    reason: str,
    details: Mapping[str, str],
    settings: CurateSettings,
    withheld: Sequence[str] = (),
) -> tuple[pa.Table, list[Rejection]]:
    """Return the rows of a view for which the SQL expression `reason` is null, and the rejections of the others.

    withheld: columns that are null in kept rows of another language.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE judged AS
        WITH numbered AS (
            SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY file_index, row_index) AS occurrence
            FROM {name}
        )
        SELECT numbered.* {_without(withheld)}, {reason} AS reason FROM numbered
        """,
        {"languages": list(settings.languages), "min_score": settings.min_language_score},
    )
    rejections = [
        Rejection(f"curate_{name}", reason, details[reason].format(detail), "", record_id)
        for reason, detail, record_id in connection.execute(
            f"""
            SELECT reason, CASE reason WHEN 'other_language' THEN format('{{}} ({{:.2f}})', language, language_score)
                ELSE product_id END, {key}
            FROM judged WHERE reason IS NOT NULL ORDER BY {key}, file_index, row_index
            """
        ).fetchall()
    ]
    kept = query(
        connection, f"SELECT * FROM judged WHERE reason IS NULL ORDER BY {key}", CURATED_TABLES[name]
    )
    return kept, rejections


def _without(columns: Sequence[str]) -> str:
    """Return the clause that makes columns null in rows of another language."""
    emptied = ", ".join(
        f"CASE WHEN {_OTHER_LANGUAGE} THEN NULL ELSE {name} END AS {name}" for name in columns
    )
    return f"REPLACE ({emptied})" if emptied else ""


# What makes two rows of a table the same record.
_KEYS = {
    "relations": ("product_a", "product_b", "relation"),
    "judgements": ("query_id", "product_id", "label"),
}


def curate_records(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[pa.Table, list[Rejection]]:
    """Return (rows of the relations or judgements in order of their key, rejections).

    A repeated key is rejected, the first row stays. Whether the products are known is judged by the tasks, each
    by its own rule: a relation may be of use for one product alone.
    """
    keys, schema = _KEYS[name], CURATED_TABLES[name]
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
