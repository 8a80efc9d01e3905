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

from mmecinstruct.tasks.expressions import first_row, has_images, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import YES_NO, Candidates, InputField, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb

NAME = "answerability_prediction"


def build(
    connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int, sampled: bool
) -> TaskOutput:
    """Build all AP samples. Neither `seed` nor `sampled` has an influence."""
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
        NAME,
        "questions",
        f"""
        SELECT {sample_id(NAME, "record_id")} AS id, category, source,
               json_object('document', document, 'question', question)::VARCHAR AS fields,
               []::VARCHAR[] AS options,
               CASE WHEN answerable THEN 'yes' ELSE 'no' END AS output, output AS label,
               [{product_image("'product'", "product_id", "image_urls")}] AS images,
               [product_id] AS product_ids, NULL::VARCHAR AS user_id, NULL::VARCHAR AS query_id,
               [record_id] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )


def candidates(
    connection: duckdb.DuckDBPyConnection, settings: TaskSettings, splits: PredictedSplits
) -> Candidates:
    """Return the questions with texts and a label."""
    return Candidates(f"""
        WITH asked AS (
            SELECT question_id, product_id, answerable, file_index, row_index,
                   trim(coalesce(question, '')) <> ''
                   AND len(list_filter(document, lambda snippet: trim(snippet) <> '')) > 0 AS has_texts
            FROM questions
        ), first AS (
            SELECT * FROM asked {first_row("question_id")}
        )
        SELECT question_id AS one, product_id AS two, split, CASE WHEN answerable THEN 'yes' ELSE 'no' END AS label
        FROM first JOIN expected_product USING (product_id)
        WHERE has_texts AND answerable IS NOT NULL AND {has_images(settings, "has_image")}
    """)


TASK = Task(
    name=NAME,
    short_name="ap",
    answer="yes or no",
    labels=YES_NO,
    metric="F1",
    requires=("products", "questions"),
    build=build,
    sampling=Sampling("question", "product", candidates),
    row=Row(
        {"question": InputField("question"), "document": InputField("review", required=False, many=True)}
    ),
)
