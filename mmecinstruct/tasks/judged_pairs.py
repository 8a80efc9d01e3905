"""Pairs of a query and a product with a relevance label, from which PSI and MPC are built.

Unit record: a pair of query and product; a judgement that is there twice with the same label counts once.

Rejected: unknown_product, no_query (the query has no text), conflicting_labels (the same pair has several),
unknown_label (not E, S, C or I).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.tasks.expressions import product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records

if TYPE_CHECKING:
    import duckdb

REQUIRES = ("products", "judgements")


def build_from_judgements(connection: duckdb.DuckDBPyConnection, task: str, output: str) -> TaskOutput:
    """Build one sample per judged pair. output: SQL expression of the answer over the column `judged`."""
    create_records(
        connection,
        """
        WITH pairs AS (
            SELECT query_id, product_id, trim(coalesce(min(query), '')) AS query,
                   list_sort(list(DISTINCT coalesce(label, '(none)'))) AS labels
            FROM judgements GROUP BY query_id, product_id
        )
        SELECT concat_ws(' ', pairs.query_id, pairs.product_id) AS record_id,
               pairs.query_id, pairs.product_id, query, labels[1] AS judged,
               p.title, p.category, p.source, p.image_urls,
               CASE WHEN p.product_id IS NULL THEN 'unknown_product'
                    WHEN query = '' THEN 'no_query'
                    WHEN len(labels) > 1 THEN 'conflicting_labels'
                    WHEN judged NOT IN ('E', 'S', 'C', 'I') THEN 'unknown_label' END AS reason,
               CASE reason WHEN 'unknown_product' THEN coalesce(pairs.product_id, '(none)')
                           WHEN 'no_query' THEN 'the query has no text'
                           WHEN 'conflicting_labels' THEN 'judged as ' || array_to_string(labels, ' and ')
                           WHEN 'unknown_label' THEN 'label ' || judged || ' is none of E, S, C, I'
               END AS detail
        FROM pairs LEFT JOIN products p ON p.product_id = pairs.product_id
        """,
    )
    return collect(
        connection,
        task,
        "judgements",
        f"""
        SELECT {sample_id(task, "query_id", "product_id")} AS id, category, source,
               json_object('product title', title, 'query', query)::VARCHAR AS fields,
               []::VARCHAR[] AS options, {output} AS output, output AS label,
               [{product_image("'product'", "product_id", "image_urls")}] AS images,
               [product_id] AS product_ids, NULL::VARCHAR AS user_id, query_id,
               [query_id] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )
