"""Product relation prediction (PRP): how are two products related?

Unit record: an unordered pair of products; a relation that is there several times or in both directions
counts once. Input: the titles as `product 1` and `product 2`; a hash draw over the pair decides which comes
first. Answer: A also bought, B also viewed, C similar; the options' texts are in `templates/options`.
Images: both products'. Category and source: the first product's.

Rejected: same_product (a product related to itself), unknown_product (at least one is not in the
products), several_relations (no single answer would be right), unknown_relation (a name that is none of
the three), same_cluster (near-duplicates of each other), same_title (equal but for case, punctuation and
white space), repeated_titles (as many pairs of the same two titles, in either order, and the same relation
were kept as `settings.max_per_titles` allows; a hash draw over each pair decides which ones).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.tasks.expressions import comparable_title, has_images, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.related_pairs import create_related_pairs
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import Candidates, InputField, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb

NAME = "product_relation_prediction"


class ProductRelationPredictionSettings(TaskSettings):
    """Settings of product relation prediction."""

    max_per_titles: int = Field(
        default=1,
        ge=1,
        description="Most pairs that have the same two titles and the same answer.",
        json_schema_extra={"unit": "pairs"},
    )


def build(
    connection: duckdb.DuckDBPyConnection,
    settings: ProductRelationPredictionSettings,
    seed: int,
    sampled: bool,
) -> TaskOutput:
    """Build all PRP samples; `sampled` has no influence."""
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
        ), judged AS (
            SELECT concat_ws(' ', low, high) AS record_id, low, high, first_id, second_id, found[1] AS relation,
                   one.title AS first_title, one.category, one.source, one.image_urls AS first_urls,
                   two.title AS second_title, two.image_urls AS second_urls,
                   {comparable_title("one.title")} AS first_compared,
                   {comparable_title("two.title")} AS second_compared,
                   CASE WHEN low = high THEN 'same_product'
                        WHEN one.product_id IS NULL OR two.product_id IS NULL THEN 'unknown_product'
                        WHEN len(found) > 1 THEN 'several_relations'
                        WHEN relation NOT IN ('also_bought', 'also_viewed', 'similar') THEN 'unknown_relation'
                        WHEN one.cluster_id = two.cluster_id THEN 'same_cluster'
                        WHEN first_compared = second_compared THEN 'same_title'
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
        ), counted AS (
            SELECT *, row_number() OVER same_titles AS place, first_value(record_id) OVER same_titles AS first_of_them
            FROM judged
            WINDOW same_titles AS (
                PARTITION BY CASE WHEN reason IS NULL THEN relation ELSE record_id END,
                             least(first_compared, second_compared), greatest(first_compared, second_compared)
                ORDER BY {hash_draw_sql(seed, "prp:repeat", "low", "high")}, record_id)
        )
        SELECT * EXCLUDE (reason, detail),
               reason IS NULL AND place > {settings.max_per_titles} AS repeats,
               CASE WHEN repeats THEN 'repeated_titles' ELSE reason END AS reason,
               CASE WHEN repeats THEN 'the titles and relation of ' || first_of_them ELSE detail END AS detail
        FROM counted
        """,
    )
    return collect(
        connection,
        NAME,
        "relations",
        f"""
        SELECT {sample_id(NAME, "low", "high")} AS id, category, source,
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


def candidates(
    connection: duckdb.DuckDBPyConnection,
    settings: ProductRelationPredictionSettings,
    splits: PredictedSplits,
) -> Candidates:
    """Return the pairs of products of one split that have one relation. Leaves the table `sampling_placed`."""
    # If both need an image, products without one are left out before pairs are made.
    each = "has_image" if settings.require_images == "all" else "true"
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW pairable_product AS "
        f"SELECT product_id FROM expected_product WHERE {each}"
    )
    create_related_pairs(connection, "relations", "pairable_product", "sampling_pair")
    # A table of its own before splits are compared: as a condition of the join, DuckDB could join on equal
    # splits first, which gives half of all pairs of products.
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE sampling_placed AS
        SELECT product_a, product_b, relation, a.split AS split_a, b.split AS split_b,
               a.item AS item_a, b.item AS item_b, a.has_image OR b.has_image AS has_image
        FROM sampling_pair
        JOIN expected_product a ON a.product_id = product_a
        JOIN expected_product b ON b.product_id = product_b
        WHERE relation IS NOT NULL
        """
    )
    connection.execute("DROP TABLE sampling_pair")
    return Candidates(f"""
        SELECT product_a AS one, product_b AS two, split_a AS split,
               CASE relation WHEN 'also_bought' THEN 'A' WHEN 'also_viewed' THEN 'B' ELSE 'C' END AS label
        FROM sampling_placed
        WHERE split_a = split_b AND item_a <> item_b AND {has_images(settings, "has_image")}
    """)


TASK = Task(
    name=NAME,
    short_name="prp",
    answer="A also bought, B also viewed, C similar",
    labels=("A", "B", "C"),
    metric="macro F1",
    requires=("products", "relations"),
    settings=ProductRelationPredictionSettings,
    build=build,
    sampling=Sampling("product", "product", candidates),
    row=Row(
        {"product 1": InputField("title"), "product 2": InputField("title")},
        roles=("product 1", "product 2"),
        any_order=True,
    ),
)
