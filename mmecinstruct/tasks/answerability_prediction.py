"""Answerability prediction (AP): can the question be answered from the snippets of reviews?

Unit record: a question. Input: `question` and `document`, the list of its snippets without empty ones, in
the order of the table. Answer: yes where the question is marked answerable. Image: the product's.
Category and
source: the product's, never the question's own category, since only products are kept apart by category.

Rejected: no_product (the product is unknown), no_question (no text), no_document (no snippet with text),
no_label (whether it is answerable is not known).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.recipe import TaskSettings
from mmecinstruct.tasks.expressions import product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records

if TYPE_CHECKING:
    import duckdb

TASK = "answerability_prediction"
REQUIRES = ("products", "questions")


def build(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int) -> TaskOutput:
    """Build all AP samples. Nothing is drawn, so `seed` has no influence."""
    create_records(
        connection,
        """
        WITH asked AS (
            SELECT q.question_id AS record_id, q.product_id, q.answerable,
                   trim(coalesce(q.question, '')) AS question,
                   coalesce(list_filter(q.document, lambda snippet: trim(snippet) <> ''), []) AS document,
                   p.product_id IS NOT NULL AS known, p.category, p.source, p.image_urls
            FROM questions q LEFT JOIN products p ON p.product_id = q.product_id
        )
        SELECT *,
               CASE WHEN NOT known THEN 'no_product'
                    WHEN question = '' THEN 'no_question'
                    WHEN len(document) = 0 THEN 'no_document'
                    WHEN answerable IS NULL THEN 'no_label' END AS reason,
               CASE reason WHEN 'no_product' THEN 'unknown product ' || coalesce(product_id, '(none)')
                           WHEN 'no_question' THEN 'the question has no text'
                           WHEN 'no_document' THEN 'no snippet to answer from: ' || question
                           WHEN 'no_label' THEN 'not marked as answerable or not: ' || question END AS detail
        FROM asked
        """,
    )
    return collect(
        connection,
        TASK,
        "questions",
        f"""
        SELECT {sample_id(TASK, "record_id")} AS id, category, source,
               json_object('document', document, 'question', question)::VARCHAR AS fields,
               []::VARCHAR[] AS options,
               CASE WHEN answerable THEN 'yes' ELSE 'no' END AS output, output AS label,
               [{product_image("'product'", "product_id", "image_urls")}] AS images,
               [product_id] AS product_ids, NULL::VARCHAR AS user_id, NULL::VARCHAR AS query_id,
               [record_id] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )
