"""Which records of whole tables each task can use: those that have what the task asks for, and cross no split.

Each function returns a SELECT with the columns one and two (what names the record), split (the expected one) and label
(what a label balance counts). It reads the views of the raw tables and the tables `expected_product`, `expected_query`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.recipe import SplitSettings, TaskSettings
from mmecinstruct.sampling.predicted_splits import split_sql, text_list
from mmecinstruct.schemas.samples import TEST_OOD
from mmecinstruct.tasks.k_core import create_k_core
from mmecinstruct.tasks.related_pairs import create_related_pairs
from mmecinstruct.tasks.sentiment_analysis import review_texts

if TYPE_CHECKING:
    import duckdb

# The first row of a repeated id stands for it, as in curation. What is asked of a row's texts is computed in a query
# below this one, or the window would hold the texts.
_FIRST = "QUALIFY row_number() OVER (PARTITION BY {} ORDER BY file_index, row_index) = 1"


def _has_images(settings: TaskSettings, condition: str) -> str:
    return "true" if settings.require_images == "none" else f"({condition})"


def questions(settings: TaskSettings) -> str:
    """AP: one is a question, two its product."""
    return f"""
        WITH asked AS (
            SELECT question_id, product_id, answerable, file_index, row_index,
                   trim(coalesce(question, '')) <> ''
                   AND len(list_filter(document, lambda snippet: trim(snippet) <> '')) > 0 AS has_texts
            FROM questions
        ), first AS (
            SELECT * FROM asked {_FIRST.format("question_id")}
        )
        SELECT question_id AS one, product_id AS two, split, CASE WHEN answerable THEN 'yes' ELSE 'no' END AS label
        FROM first JOIN expected_product USING (product_id)
        WHERE has_texts AND answerable IS NOT NULL AND {_has_images(settings, "has_image")}
    """


def categories(settings: TaskSettings) -> str:
    """CC: one is a product, of the same item in several sources the one that its builder will take.

    Without a labelled category the product's path may serve, where the recipe allows.
    """
    known = "label IS NOT NULL" if settings.labelled_only else "(label IS NOT NULL OR has_path)"
    return f"""
        SELECT product_id AS one, NULL::VARCHAR AS two, split, label
        FROM expected_product WHERE {known} AND category <> '' AND {_has_images(settings, "has_image")}
        QUALIFY row_number() OVER (PARTITION BY item ORDER BY product_id) = 1
    """


def pairs(connection: duckdb.DuckDBPyConnection, settings: TaskSettings) -> str:
    """PRP: one and two are products of one split with one relation. Leaves the table `sampling_placed`."""
    # Where both need an image, those without are left out before there are pairs.
    each = "has_image" if settings.require_images == "all" else "true"
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW pairable_product AS "
        f"SELECT product_id FROM expected_product WHERE {each}"
    )
    create_related_pairs(connection, "relations", "pairable_product", "sampling_pair")
    # A table of its own before splits are compared: as a condition of the join, equal splits could be what a plan
    # begins with, and that is half of all pairs of products.
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
    return f"""
        SELECT product_a AS one, product_b AS two, split_a AS split,
               CASE relation WHEN 'also_bought' THEN 'A' WHEN 'also_viewed' THEN 'B' ELSE 'C' END AS label
        FROM sampling_placed
        WHERE split_a = split_b AND item_a <> item_b AND {_has_images(settings, "has_image")}
    """


def judgements(connection: duckdb.DuckDBPyConnection, settings: TaskSettings, label: str) -> str:
    """MPC, PSI: one is a query, two a product of its split. label: SQL of the answer over the column judged.

    Leaves the table `sampling_placed`, for the reason that `pairs` has.
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
    return f"""
        SELECT query_id AS one, product_id AS two, product_split AS split, {label} AS label
        FROM sampling_placed
        WHERE judged IN ('E', 'S', 'C', 'I') AND product_split = query_split AND product_split <> '{TEST_OOD}'
              AND {_has_images(settings, "has_image")}
    """


def reviews(settings: TaskSettings) -> str:
    """SA: one is a review, two its product.

    Of a repeated id's rows only those with an image are looked at. Where curation keeps one without, the draw is lost:
    such ids are few, and to number all reviews would cost more than a few draws.
    """
    own = "coalesce(len(image_urls), 0) > 0"
    if settings.product_image:
        own = f"{own} OR product_id IN (SELECT product_id FROM expected_product WHERE has_image)"
    return f"""
        WITH {review_texts(f"(SELECT * FROM reviews WHERE {_has_images(settings, own)})")}, judged AS (
            SELECT review_id, product_id, rating, file_index, row_index,
                   review <> '' AND words >= {settings.min_words} AS has_words
            FROM review_texts
        ), usable AS (
            SELECT * FROM judged {_FIRST.format("review_id")}
        )
        SELECT review_id AS one, product_id AS two, split, chr(70 - rating::INTEGER) AS label
        FROM usable JOIN expected_product USING (product_id)
        WHERE rating BETWEEN 1 AND 5 AND has_words
    """


def sequences(
    connection: duckdb.DuckDBPyConnection, settings: TaskSettings, split: SplitSettings, seed: int
) -> tuple[str, int]:
    """SR: one is a user, two a top-level category with enough items of the core; also return the core's rounds.

    Leaves the tables of `sampling_core`, the core of all interactions with known products.
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP VIEW sampling_interaction AS
        SELECT user_id, product_id, timestamp FROM reviews
        SEMI JOIN expected_product USING (product_id) WHERE user_id <> ''
        """
    )
    rounds = create_k_core(connection, "sampling_interaction", "sampling_core", settings.k_core)
    shown = settings.max_history + 1  # with the target
    images = {"all": f"with_image = least(items, {shown})", "any": "with_image > 0", "none": "true"}
    # Where all need an image, those that are shown do; else no order need be found here.
    place = "row_number() OVER (PARTITION BY user_code, category ORDER BY timestamp DESC, product_code DESC)"
    back = place if settings.require_images == "all" else "1"
    select = f"""
        WITH placed AS (
            SELECT user_code, category, timestamp, has_image, {back} AS back
            FROM sampling_core JOIN sampling_core_product USING (product_code)
            JOIN expected_product USING (product_id)
        ), held AS (
            SELECT user_code, category, count(*) AS items, count(timestamp) AS dated,
                   count(*) FILTER (has_image AND back <= {shown}) AS with_image,
                   list_contains({text_list(split.ood_categories)}, category) AS outside
            FROM placed GROUP BY user_code, category
        ), usable AS (
            SELECT *, bool_or(outside) OVER (PARTITION BY user_code) AS goes_outside FROM held
            WHERE category <> '' AND dated = items AND items > {settings.min_history}
                  AND {images[settings.require_images]}
        )
        SELECT user_id AS one, category AS two, NULL::VARCHAR AS label,
               CASE WHEN outside THEN '{TEST_OOD}' ELSE {split_sql(split, seed, "split:user", "user_id")} END AS split
        FROM usable JOIN sampling_core_user USING (user_code) WHERE outside OR NOT goes_outside
    """
    return select, rounds
