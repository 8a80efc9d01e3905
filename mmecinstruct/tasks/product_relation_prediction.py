"""Product relation prediction (PRP): how are two products related?

Unit record: an unordered pair of products; a relation that is there several times or in both directions
counts once. Input: the titles as `product 1` and `product 2`; which comes first is drawn by hash of the
pair. Answer: A also bought, B also viewed, C similar; the options' texts stand in `templates/options`.
Images: both products'.
Category and source: the first product's.

Rejected: same_product (a product related to itself), unknown_product (at least one is not in the
products), several_relations (no single answer would be right), unknown_relation (a name that is none of
the three), same_cluster (near-duplicates of each other), same_title (equal but for case, punctuation and
white space).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.recipe import TaskSettings
from mmecinstruct.tasks.expressions import comparable_title, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records

if TYPE_CHECKING:
    import duckdb

TASK = "product_relation_prediction"
REQUIRES = ("products", "relations")


def build(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, seed: int) -> TaskOutput:
    """Build all PRP samples."""
    create_records(
        connection,
        f"""
        WITH directed AS (
            SELECT coalesce(product_a, '') AS a, coalesce(product_b, '') AS b,
                   coalesce(relation, '(none)') AS relation
            FROM relations
        ), pairs AS (
            SELECT least(a, b) AS low, greatest(a, b) AS high,
                   list_sort(list(DISTINCT relation)) AS found
            FROM directed GROUP BY low, high
        ), ordered AS (
            SELECT *, {hash_draw_sql(seed, "prp:order", "low", "high")} % 2 = 0 AS kept,
                   CASE WHEN kept THEN low ELSE high END AS first_id,
                   CASE WHEN kept THEN high ELSE low END AS second_id
            FROM pairs
        )
        SELECT concat_ws(' ', low, high) AS record_id, low, high, first_id, second_id, found[1] AS relation,
               one.title AS first_title, one.category, one.source, one.image_urls AS first_urls,
               two.title AS second_title, two.image_urls AS second_urls,
               CASE WHEN low = high THEN 'same_product'
                    WHEN one.product_id IS NULL OR two.product_id IS NULL THEN 'unknown_product'
                    WHEN len(found) > 1 THEN 'several_relations'
                    WHEN relation NOT IN ('also_bought', 'also_viewed', 'similar') THEN 'unknown_relation'
                    WHEN one.cluster_id = two.cluster_id THEN 'same_cluster'
                    WHEN {comparable_title("one.title")} = {comparable_title("two.title")} THEN 'same_title'
               END AS reason,
               CASE reason WHEN 'same_product' THEN 'related to itself'
                           WHEN 'unknown_product' THEN concat_ws(' and ',
                                CASE WHEN one.product_id IS NULL THEN first_id END,
                                CASE WHEN two.product_id IS NULL THEN second_id END) || ' unknown'
                           WHEN 'several_relations' THEN array_to_string(found, ' and ')
                           WHEN 'unknown_relation' THEN relation
                           WHEN 'same_cluster' THEN 'both of near-duplicate cluster ' || one.cluster_id
                           WHEN 'same_title' THEN first_title END AS detail
        FROM ordered
        LEFT JOIN products one ON one.product_id = first_id
        LEFT JOIN products two ON two.product_id = second_id
        """,
    )
    return collect(
        connection,
        TASK,
        "relations",
        f"""
        SELECT {sample_id(TASK, "low", "high")} AS id, category, source,
               json_object('product 1', first_title, 'product 2', second_title)::VARCHAR AS fields,
               []::VARCHAR[] AS options,
               CASE relation WHEN 'also_bought' THEN 'A' WHEN 'also_viewed' THEN 'B' ELSE 'C' END AS output,
               output AS label,
               [{product_image("'product 1'", "first_id", "first_urls")},
                {product_image("'product 2'", "second_id", "second_urls")}] AS images,
               [first_id, second_id] AS product_ids,
               NULL::VARCHAR AS user_id, NULL::VARCHAR AS query_id, []::VARCHAR[] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )
