"""Sequential recommendation (SR): which of the candidates does the user buy next?

A review, whatever it says, is an interaction; of several between a user and a product the first counts.
Users and known products with fewer than `settings.k_core` interactions are removed until none is left to
remove.

Unit record: a user and a top-level category, with all of the user's reviews in it. Their rest,
ordered by (timestamp, product_id), is one sequence. Target: its last product. History: the most recent
`settings.max_history` before it, oldest first.
Options: `settings.candidates` products in the order of hash draws: the target and negatives of the same
top-level category, by default in proportion to their popularity (see negatives.py). A negative is never a
product that the user bought at any time in any category, a near-duplicate or variant of such a product or
one with its title, nor one whose title (or text) equals another candidate's.
Input and options give a product as its title, with the brand in parentheses where the title lacks it;
never the category, which would give away answers of another task.
Images: `history 1` … and `option A` …. product_ids: history, target, negatives. record_ids: the first
reviews of history and target. Source: the target's.

A new product or review changes others' samples where it alters what the k-core keeps or a product's
popularity, which decides who has it as a candidate. No other choice of a build depends on other rows.

Rejected: no_user, unknown_product (the user's reviews of products that are not there), no_category (of
products without a top-level one), k_core (nothing left), no_timestamp (the order is not known),
too_few_items (fewer than `settings.min_history` before the target), too_few_candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator
from pydantic.config import JsonDict

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.schemas.samples import TEST_OOD
from mmecinstruct.tasks.categories import create_category_tables, drop_category_tables
from mmecinstruct.tasks.expressions import comparable_title, letter, product_image, sample_id
from mmecinstruct.tasks.k_core import create_k_core, drop_k_core, with_ids
from mmecinstruct.tasks.negatives import Negatives, Way, choose_candidates, offered_negatives
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.popularity import create_popularity
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import Candidates, PredictedSplits, Row, Sampling, Task

if TYPE_CHECKING:
    import duckdb

NAME = "sequential_recommendation"
OLD_NAME_OF_METADATA = "random"

_PRODUCTS: JsonDict = {"unit": "products"}
_TABLES = (
    "sr_items",
    "sr_first",
    "sr_core",
    "sr_records",
    "sr_ordered",
    "sr_popularity",
    "sr_options",
)


class SequentialRecommendationSettings(TaskSettings):
    """Settings of sequential recommendation."""

    old_defaults: ClassVar[Mapping[str, Any]] = {"negatives": OLD_NAME_OF_METADATA}

    candidates: int = Field(
        default=20,
        ge=2,
        le=26,
        description="Products to choose from, the answer among them.",
        json_schema_extra=_PRODUCTS,
    )
    max_history: int = Field(
        default=10,
        ge=1,
        description="Most products of the history; the latest are kept.",
        json_schema_extra=_PRODUCTS,
    )
    min_history: int = Field(
        default=3, ge=1, description="Fewest products before the target.", json_schema_extra=_PRODUCTS
    )
    negatives: Way = Field(
        default="popularity",
        description="Wrong candidates, of the target's top-level category: products of the k-core in proportion to "
        "popularity^`negatives_exponent`, or each as likely (uniform), or by popularity after those of the fine "
        "category (category) or with the nearest titles (hard); or any product, bought or not (metadata).",
    )
    negatives_exponent: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="Power of a product's popularity that is its weight among the negatives. At 1 popularity says "
        "nothing about the answer; below, popular candidates are more often right.",
    )
    k_core: int = Field(
        default=5,
        ge=1,
        description="Fewest interactions of a user and of a product.",
        json_schema_extra={"unit": "interactions"},
    )

    @field_validator("negatives", mode="before")
    @classmethod
    def _read_old_name(cls, value: Any) -> Any:
        return "metadata" if value == OLD_NAME_OF_METADATA else value


def _negatives(settings: SequentialRecommendationSettings) -> Negatives:
    return Negatives(settings.negatives, settings.negatives_exponent, settings.candidates - 1)


def build(
    connection: duckdb.DuckDBPyConnection,
    settings: SequentialRecommendationSettings,
    seed: int,
    sampled: bool,
) -> TaskOutput:
    """Build all SR samples.

    Where `sampled`, only of the users and categories in the view `sampled_records` (one, two), with the k-core in the
    view `core` (user_id, product_id), which is that of more reviews than there are, and its view `popularity`.
    """
    create_category_tables(connection)
    _create_items(connection)
    _create_interactions(connection)
    _filter_core(connection, settings.k_core, sampled)
    _create_sequences(connection, settings, sampled)
    _create_popularity(connection, sampled)
    connection.register("sr_chosen", choose_candidates(connection, _negatives(settings), seed))
    _create_options(connection, seed)
    connection.unregister("sr_chosen")
    create_records(
        connection,
        f"""
        SELECT r.* EXCLUDE (reason, detail), coalesce(len(o.option_ids), 0) AS found,
               CASE WHEN r.reason IS NOT NULL THEN r.reason
                    WHEN found < {settings.candidates} THEN 'too_few_candidates' END AS reason,
               CASE WHEN r.reason IS NOT NULL THEN r.detail
                    ELSE found || ' of {settings.candidates} candidates' END AS detail
        FROM sr_records r LEFT JOIN sr_options o ON o.id = r.id
        """,
    )
    output = collect(
        connection,
        NAME,
        "reviews",
        f"""
        WITH history AS (
            SELECT o.id, list(i.item_text ORDER BY place) AS texts, list(i.product_id ORDER BY place) AS ids,
                   list({product_image("'history ' || place", "i.product_id", "i.image_urls")}
                        ORDER BY place) AS images
            FROM sr_ordered o JOIN sr_items i USING (product_id) WHERE NOT is_target GROUP BY o.id
        ), first_reviews AS (
            SELECT id, list(review_id ORDER BY place) AS record_ids FROM sr_ordered GROUP BY id
        )
        SELECT r.id, r.category, target.source, to_json(history.texts)::VARCHAR AS fields,
               option_texts AS options, {letter("answer")} AS output, output AS label,
               list_concat(history.images, option_images) AS images,
               list_concat(history.ids, [option_ids[answer]],
                           list_filter(option_ids, lambda other: other <> option_ids[answer])) AS product_ids,
               r.user_id, NULL::VARCHAR AS query_id, record_ids
        FROM task_records r
        JOIN sr_options o ON o.id = r.id
        JOIN history ON history.id = r.id
        JOIN first_reviews ON first_reviews.id = r.id
        JOIN products target ON target.product_id = option_ids[answer]
        WHERE r.reason IS NULL
        """,
    )
    for table in _TABLES:
        connection.execute(f"DROP TABLE {table}")
    drop_category_tables(connection)
    return output


def _create_items(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_items AS
        WITH named AS (
            SELECT p.product_id, p.category, c.category_key, p.image_urls,
                   coalesce(p.split_unit, p.cluster_id, p.product_id) AS cluster_id,
                   {comparable_title("p.title")} AS compared,
                   CASE WHEN trim(coalesce(p.brand, '')) = ''
                             OR contains(lower(p.title), lower(trim(p.brand))) THEN p.title
                        ELSE p.title || ' (' || trim(p.brand) || ')' END AS item_text
            FROM products p LEFT JOIN product_category c ON c.product_id = p.product_id
        )
        SELECT product_id, category, item_text, image_urls, compared,
               row_number() OVER (ORDER BY product_id) - 1 AS position,
               dense_rank() OVER (ORDER BY category, category_key) AS fine_code,
               dense_rank() OVER (ORDER BY cluster_id) AS cluster_code,
               dense_rank() OVER (ORDER BY compared) AS title_code,
               dense_rank() OVER (ORDER BY item_text) AS text_code
        FROM named
        """
    )


def _create_interactions(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE sr_first AS
        SELECT user_id, product_id, any_value(category) AS category, min(r.timestamp) AS bought,
               arg_min(review_id, {'at': r.timestamp, 'id': review_id}) AS review_id
        FROM reviews r JOIN sr_items i USING (product_id)
        WHERE coalesce(user_id, '') <> '' GROUP BY user_id, product_id
        """
    )


def _filter_core(connection: duckdb.DuckDBPyConnection, k: int, sampled: bool) -> None:
    if not sampled:
        create_k_core(connection, "(SELECT *, bought AS timestamp FROM sr_first)", "sr_within", k)
    within = "core" if sampled else f"({with_ids('sr_within')})"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE sr_core AS "
        f"SELECT sr_first.* FROM sr_first SEMI JOIN {within} USING (user_id, product_id)"
    )
    drop_k_core(connection, "sr_within")


def _create_sequences(
    connection: duckdb.DuckDBPyConnection, settings: SequentialRecommendationSettings, sampled: bool
) -> None:
    """Create `sr_records` (all unit records) and `sr_ordered` (history and target of those that can be built)."""
    # A user's other categories were not sampled: they would favour users of many.
    asked = "SEMI JOIN sampled_records ON one = user_id AND lower(two) = lower(category)" if sampled else ""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_records AS
        WITH records AS (
            SELECT coalesce(user_id, '') AS user_id, i.product_id IS NOT NULL AS known,
                   coalesce(i.category, '') AS category, count(*) AS reviews
            FROM reviews r LEFT JOIN sr_items i ON i.product_id = r.product_id GROUP BY ALL
        ), left_over AS (
            SELECT user_id, category, count(*) AS items, count(bought) AS dated FROM sr_core GROUP BY ALL
        )
        SELECT trim(concat_ws(' ', user_id, category)) AS record_id,
               {sample_id(NAME, "user_id", "category")} AS id, user_id, category,
               CASE WHEN user_id = '' THEN 'no_user'
                    WHEN NOT known THEN 'unknown_product'
                    WHEN category = '' THEN 'no_category'
                    WHEN items IS NULL THEN 'k_core'
                    WHEN dated < items THEN 'no_timestamp'
                    WHEN items < {settings.min_history} + 1 THEN 'too_few_items' END AS reason,
               CASE reason WHEN 'k_core' THEN reviews || ' reviews, none within the {settings.k_core}-core'
                           WHEN 'no_timestamp' THEN (items - dated) || ' of ' || items || ' items undated'
                           WHEN 'too_few_items' THEN items || ' of {settings.min_history + 1} items'
                           ELSE reviews || ' reviews' END AS detail
        FROM (SELECT * FROM records {asked}) LEFT JOIN left_over USING (user_id, category)
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_ordered AS
        WITH placed AS (
            SELECT r.id, c.user_id, c.product_id, c.review_id,
                   row_number() OVER (PARTITION BY r.id ORDER BY c.bought DESC, c.product_id DESC) - 1 AS back
            FROM sr_core c JOIN sr_records r ON r.user_id = c.user_id AND r.category = c.category
            WHERE r.reason IS NULL
        )
        SELECT id, user_id, product_id, review_id, back = 0 AS is_target,
               max(back) OVER (PARTITION BY id) - back + 1 AS place
        FROM placed WHERE back <= {settings.max_history}
        """
    )


def _create_popularity(connection: duckdb.DuckDBPyConnection, sampled: bool) -> None:
    """Create `sr_popularity` (product_id, item_id, category, interactions); item_id is the product's in the tables."""
    if not sampled:
        is_ood = "category IN (SELECT category FROM ood_categories)"
        create_popularity(
            connection,
            "SELECT user_id AS customer, product_id AS product, category FROM sr_core",
            f"SELECT DISTINCT user_id AS customer FROM sr_records WHERE reason IS NULL AND {is_ood}",
            is_ood,
            "sr_counted",
        )
    source = "popularity" if sampled else "sr_counted"
    columns = "*" if sampled else "product AS product_id, product AS item_id, category, interactions"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sr_popularity AS SELECT {columns} FROM {source}")
    connection.execute("DROP TABLE IF EXISTS sr_counted")


def _create_options(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Create `sr_options` from the view `sr_chosen`: the candidates in order and the answer's place."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sr_options AS
        WITH lettered AS (
            SELECT c.id, c.is_target, i.product_id, i.item_text, i.image_urls, row_number() OVER (
                       PARTITION BY c.id
                       ORDER BY {hash_draw_sql(seed, "sr:order", "c.id", "i.product_id")}, i.product_id) AS place
            FROM sr_chosen c JOIN sr_items i USING (position)
        )
        SELECT id, list(item_text ORDER BY place) AS option_texts,
               list(product_id ORDER BY place) AS option_ids,
               list({product_image(f"'option ' || {letter('place')}", "product_id", "image_urls")}
                    ORDER BY place) AS option_images,
               max(place) FILTER (is_target) AS answer
        FROM lettered GROUP BY id
        """
    )


def candidates(
    connection: duckdb.DuckDBPyConnection, settings: SequentialRecommendationSettings, splits: PredictedSplits
) -> Candidates:
    """Return the users and top-level categories with enough items of the k-core.

    Leaves the tables of `sampling_core`, the core of all interactions with known products, and their popularity as
    `sampling_popularity` (product: its code in the core, category, interactions).
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
    # If all images are required, the shown items need one; otherwise no order is needed here.
    place = "row_number() OVER (PARTITION BY user_code, category ORDER BY timestamp DESC, product_code DESC)"
    back = place if settings.require_images == "all" else "1"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sampling_placed AS
        WITH placed AS (
            SELECT user_code, category, timestamp, has_image, {back} AS back
            FROM sampling_core JOIN sampling_core_product USING (product_code)
            JOIN expected_product USING (product_id)
        ), held AS (
            SELECT user_code, category, count(*) AS items, count(timestamp) AS dated,
                   count(*) FILTER (has_image AND back <= {shown}) AS with_image,
                   {splits.is_ood} AS outside
            FROM placed GROUP BY user_code, category
        )
        SELECT *, bool_or(outside) OVER (PARTITION BY user_code) AS goes_outside FROM held
        WHERE category <> '' AND dated = items AND items > {settings.min_history}
              AND {images[settings.require_images]}
        """
    )
    create_popularity(
        connection,
        """
        SELECT user_code AS customer, product_code AS product, category FROM sampling_core
        JOIN sampling_core_product USING (product_code) JOIN expected_product USING (product_id)
        """,
        "SELECT DISTINCT user_code AS customer FROM sampling_placed WHERE outside",
        splits.is_ood,
        "sampling_popularity",
    )
    return Candidates(
        f"""
        SELECT user_id AS one, category AS two, NULL::VARCHAR AS label,
               CASE WHEN outside THEN '{TEST_OOD}' ELSE {splits.of_user} END AS split
        FROM sampling_placed JOIN sampling_core_user USING (user_code) WHERE outside OR NOT goes_outside
        """,
        core_rounds=rounds,
    )


def create_offered(
    connection: duckdb.DuckDBPyConnection, settings: SequentialRecommendationSettings, seed: int
) -> None:
    """Create `sampling_offered` (product_id): the products that the sampled records' negatives will be.

    They are sampled beside the users' own, or products that sampled users share would be offered too often.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sampling_asker AS
        SELECT two AS category, {sample_id(NAME, "one", "two")} AS id, list(product_code) AS bought
        FROM sampled JOIN sampling_core_user ON user_id = one JOIN sampling_core USING (user_code)
        WHERE task = '{NAME}' GROUP BY one, two
        """
    )
    offered = offered_negatives(connection, "sampling_asker", _negatives(settings), seed)
    connection.execute("DROP TABLE sampling_asker")
    codes = pa.array(sorted(offered), pa.uint32())
    connection.register("offered_codes", pa.table({"product_code": codes}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE sampling_offered AS "
        "SELECT product_id FROM sampling_core_product SEMI JOIN offered_codes USING (product_code)"
    )
    connection.unregister("offered_codes")


TASK = Task(
    name=NAME,
    short_name="sr",
    answer="letter of one product",
    labels=None,
    metric="recall@1",
    requires=("products", "reviews"),
    not_shared=("user",),
    split_note="goes by user instead: a user's sequence stands in one split, its products in any.",
    settings=SequentialRecommendationSettings,
    build=build,
    sampling=Sampling("user", None, candidates, create_offered, knows_labels=False),
    row=Row(None, roles=("history", "option"), options_are_products=True),
)
