"""Relevance judgements: pairs of a query and a product with a label, from which PSI and MPC are built.

Unit record: a pair of query and product; a judgement that is there twice with the same label counts once.

Rejected: unknown_product, no_query (the query has no text), conflicting_labels (the same pair has several),
unknown_label (not E, S, C or I).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.schemas.samples import TEST_OOD
from mmecinstruct.tasks.expressions import has_images, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import Candidates, InputField, Metric, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb


def judged_pair_task(
    name: str, short_name: str, *, answer: str, labels: tuple[str, ...], metric: Metric, output: str
) -> Task[TaskSettings]:
    """Return a task whose samples are judged pairs.

    Args:
        name: full name.
        short_name: as `--tasks` takes it.
        answer: what an answer is, as the card says it.
        labels: the answers that there are.
        metric: what models are ranked by.
        output: SQL expression of the answer over the column `judged` (E, S, C or I).
    """

    def build(
        connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int, sampled: bool
    ) -> TaskOutput:
        return _build(connection, name, output)

    def candidates(
        connection: duckdb.DuckDBPyConnection, settings: TaskSettings, splits: PredictedSplits
    ) -> Candidates:
        return _candidates(connection, settings, output)

    return Task(
        name=name,
        short_name=short_name,
        answer=answer,
        labels=labels,
        metric=metric,
        requires=("products", "judgements"),
        not_shared=("product", "query"),
        has_ood=False,
        build=build,
        sampling=Sampling("query", "product", candidates),
        row=Row({"query": InputField("query"), "product title": InputField("title")}),
    )


def _build(connection: duckdb.DuckDBPyConnection, task: str, output: str) -> TaskOutput:
    """Build one sample per judged pair."""
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


def _candidates(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, label: str) -> Candidates:
    """Return the judged pairs of a query and a product of its split.

    Leaves the table `sampling_placed`: as a condition of the join, DuckDB could join on equal splits first.
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE sampling_placed AS
        WITH judged AS (
            SELECT query_id, product_id, min(label) AS judged FROM judgements
            GROUP BY query_id, product_id HAVING count(DISTINCT coalesce(label, '')) = 1
        )
        SELECT query_id, product_id, judged, has_image, p.split AS product_split, q.split AS query_split
        FROM judged JOIN expected_product p USING (product_id) JOIN expected_query q USING (query_id)
        """
    )
    return Candidates(f"""
        SELECT query_id AS one, product_id AS two, product_split AS split, {label} AS label
        FROM sampling_placed
        WHERE judged IN ('E', 'S', 'C', 'I') AND product_split = query_split AND product_split <> '{TEST_OOD}'
              AND {has_images(settings, "has_image")}
    """)
