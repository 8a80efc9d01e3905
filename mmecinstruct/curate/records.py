"""Curate the tables that refer to products: reviews, relations, relevance judgements, questions."""

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


# The text's language is none of the recipe's, with at least the recipe's probability.
_OTHER_LANGUAGE = """len($languages) > 0 AND language IS NOT NULL AND NOT list_contains($languages, language)
                    AND language_score >= $min_score"""


def curate_reviews(
    connection: duckdb.DuckDBPyConnection, settings: CurateSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Curate reviews.

    Repeated ids (the first row is kept) and reviews of unknown products are rejected. A review in another language than
    the recipe's keeps its row without title, text and images, because its user has the product.

    Args:
        connection: A connection with the views reviews (tables.CURATED_REVIEWS) and products.
        settings: The languages, and the probability from which a language counts.

    Returns:
        (Reviews in order of id, rejections).
    """
    return _split(
        connection,
        "reviews",
        "review_id",
        """CASE
                WHEN occurrence > 1 THEN 'duplicate_id'
                WHEN NOT EXISTS (FROM products WHERE products.product_id = numbered.product_id)
                    THEN 'unknown_product'
            END""",
        {
            "duplicate_id": "{} has the same id; it came first and stays",
            "unknown_product": "no product {}",
        },
        settings,
        withheld=("title", "text", "image_urls"),
    )


def curate_questions(
    connection: duckdb.DuckDBPyConnection, settings: CurateSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Curate questions.

    Repeated ids (the first row is kept) and questions in another language than the recipe's are rejected.

    Args:
        connection: A connection with the view questions (tables.CURATED_QUESTIONS).
        settings: The languages, and the probability from which a language counts.

    Returns:
        (Questions in order of id, rejections).
    """
    return _split(
        connection,
        "questions",
        "question_id",
        f"CASE WHEN occurrence > 1 THEN 'duplicate_row' WHEN {_OTHER_LANGUAGE} THEN 'other_language' END",
        {"duplicate_row": "the same record as {}", "other_language": "{}"},
        settings,
    )


def _split(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    key: str,
    reason: str,
    details: Mapping[str, str],
    settings: CurateSettings,
    withheld: Sequence[str] = (),
) -> tuple[pa.Table, list[Rejection]]:
    """Return the rows of a view for which the SQL expression `reason` is null, and the rejections of the others.

    Args:
        connection: A connection with the view.
        name: The name of the view and of the table.
        key: The column that has to be unique.
        reason: The SQL expression of the rejection's reason.
        details: The rejection's detail by reason, with a placeholder.
        settings: The languages, and the probability from which a language counts.
        withheld: Columns that are null in kept rows of another language.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE with_reasons AS
        WITH numbered AS (
            SELECT *, row_number() OVER same_id AS occurrence,
                CASE WHEN occurrence > 1 THEN first(origin) OVER same_id END AS first_origin
            FROM {name} WINDOW same_id AS (PARTITION BY {key} ORDER BY file_index, row_index)
        )
        SELECT numbered.* {_without(withheld)}, {reason} AS reason FROM numbered
        """,
        {"languages": list(settings.languages), "min_score": settings.min_language_score},
    )
    rejections = [
        Rejection(
            f"curate_{name}",
            reason,
            details[reason].format(detail),
            origin or "",
            record_id,
            product_ids=(product_id,) if product_id else (),
        )
        for reason, detail, record_id, origin, product_id in connection.execute(
            f"""
            SELECT reason, CASE reason WHEN 'other_language' THEN format('{{}} ({{:.2f}})', language, language_score)
                WHEN 'unknown_product' THEN product_id ELSE coalesce(first_origin, 'another row') END, {key}, origin,
                product_id
            FROM with_reasons WHERE reason IS NOT NULL ORDER BY {key}, file_index, row_index
            """
        ).fetchall()
    ]
    kept = query(
        connection, f"SELECT * FROM with_reasons WHERE reason IS NULL ORDER BY {key}", CURATED_TABLES[name]
    )
    return kept, rejections


def _without(columns: Sequence[str]) -> str:
    """Return the clause that makes columns null in rows of another language."""
    emptied = ", ".join(
        f"CASE WHEN {_OTHER_LANGUAGE} THEN NULL ELSE {name} END AS {name}" for name in columns
    )
    return f"REPLACE ({emptied})" if emptied else ""


# The columns that identify a record of a table.
_KEYS = {
    "relations": ("product_a", "product_b", "relation"),
    "judgements": ("query_id", "product_id", "label"),
}


def curate_records(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[pa.Table, list[Rejection]]:
    """Curate relations or relevance judgements. The first row of a repeated key is kept.

    Each task checks by its own rule whether the products are known: a relation may be useful with one known product.

    Args:
        connection: A connection with the view.
        name: `relations` or `judgements`, the name of the view.

    Returns:
        (Rows in order of their key, rejections).
    """
    keys, schema = _KEYS[name], CURATED_TABLES[name]
    listed = ", ".join(keys)
    numbered = (
        "SELECT *, row_number() OVER same_key AS occurrence, first(origin) OVER same_key AS first_origin "
        f"FROM {name} WINDOW same_key AS (PARTITION BY {listed} ORDER BY file_index, row_index)"
    )
    kept = query(connection, f"SELECT * FROM ({numbered}) WHERE occurrence = 1 ORDER BY {listed}", schema)
    rejections = [
        Rejection(
            f"curate_{name}",
            "duplicate_row",
            f"the same record as {first or 'another row'}",
            origin or "",
            " ".join(str(one) for one in record),
            product_ids=tuple(
                one for key, one in zip(keys, record, strict=True) if key.startswith("product") and one
            ),
            query_id=record[0] if keys[0] == "query_id" and record[0] else "",
        )
        for origin, first, *record in connection.execute(
            f"SELECT origin, first_origin, {listed} FROM ({numbered}) WHERE occurrence > 1 "
            f"ORDER BY {listed}, occurrence"
        ).fetchall()
    ]
    return kept, rejections
