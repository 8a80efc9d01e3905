"""Sentiment analysis (SA): how positive is the review?

Unit record: a review. Input: `review`, its title and text as one: joined by a full stop where the title
has no closing punctuation, the text alone where it begins with the title. A title that only names the
stars ("Five Stars", which shops fill in by themselves) is the answer itself and is left out.
Answer: 5 stars A very positive, 4 B, 3 C, 2 D, 1 E very negative; the options' texts are in
`templates/options`. Image: the review's (role `review`); where it has none and
`settings.product_image` is set, the product's (role `product`). Category and source: the product's. The
reviewer is noted in `user_id`; the split goes by the product.

Rejected: unknown_product, other_language (curation withheld the text), no_rating (none, or not 1 to 5),
no_text, too_few_words (fewer than `settings.min_words`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmecinstruct.tasks.expressions import first_row, has_images, product_image, sample_id
from mmecinstruct.tasks.output import TaskOutput, collect, create_records
from mmecinstruct.tasks.settings import TaskSettings
from mmecinstruct.tasks.task import Candidates, InputField, PredictedSplits, Row, Sampling, Task
from mmecinstruct.text.words import sql_word_count

if TYPE_CHECKING:
    import duckdb

NAME = "sentiment_analysis"

_ONLY_STARS = r"^(one|two|three|four|five|[1-5])[ -]*stars?\W*$"


class SentimentAnalysisSettings(TaskSettings):
    """Settings of sentiment analysis."""

    renamed_fields: ClassVar[Mapping[str, str]] = {
        **TaskSettings.renamed_fields,
        "product_picture": "product_image",
    }

    min_words: int = Field(
        default=1,
        ge=0,
        description="Fewest words of a review, title and text together. In scripts without blanks two characters of "
        "Chinese or Japanese are a word, and four of Thai, Lao, Khmer or Burmese.",
        json_schema_extra={"unit": "words"},
    )
    product_image: bool = Field(
        default=False, description="Take the product's image where the review has none."
    )


def review_texts(reviews: str) -> str:
    """Return common table expressions; the last one is `review_texts`.

    It has the columns of the table `reviews`, review (title and text as one) and words (how many it has).
    """
    return f"""written AS (
            SELECT *, trim(coalesce(text, '')) AS body,
                   CASE WHEN regexp_matches(lower(trim(title)), '{_ONLY_STARS}') THEN ''
                        ELSE trim(coalesce(title, '')) END AS heading
            FROM {reviews}
        ), review_texts AS (
            SELECT *,
                   lower(rtrim(heading, ' .…')) AS opening,
                   CASE WHEN heading = '' THEN body
                        WHEN starts_with(lower(body), opening)
                             AND NOT regexp_matches(lower(body)[len(opening) + 1], '[\\p{{L}}\\p{{N}}]')
                        THEN body
                        WHEN body = '' THEN heading
                        WHEN regexp_matches(heading, '[\\p{{P}}\\p{{S}}]$') THEN heading || ' ' || body
                        ELSE heading || '. ' || body END AS review,
                   {sql_word_count("review")} AS words
            FROM written
        )"""


def build(
    connection: duckdb.DuckDBPyConnection, settings: SentimentAnalysisSettings, seed: int, sampled: bool
) -> TaskOutput:
    """Build all SA samples. Neither `seed` nor `sampled` has an influence."""
    take_product_image = "true" if settings.product_image else "false"
    create_records(
        connection,
        f"""
        WITH {review_texts("reviews")}
        SELECT r.review_id AS record_id, r.product_id, r.user_id, r.rating, r.review,
               r.image_urls AS review_urls, p.image_urls AS product_urls, p.category, p.source,
               CASE WHEN p.product_id IS NULL THEN 'unknown_product'
                    WHEN r.title IS NULL AND r.text IS NULL AND r.language IS NOT NULL THEN 'other_language'
                    WHEN r.rating IS NULL OR r.rating NOT BETWEEN 1 AND 5 THEN 'no_rating'
                    WHEN r.review = '' THEN 'no_text'
                    WHEN r.words < {settings.min_words} THEN 'too_few_words' END AS reason,
               CASE reason WHEN 'unknown_product' THEN coalesce(r.product_id, '(none)')
                           WHEN 'other_language' THEN format('{{}} ({{:.2f}})', r.language, r.language_score)
                           WHEN 'no_rating' THEN 'rating ' || coalesce(r.rating::VARCHAR, '(none)')
                           WHEN 'no_text' THEN 'neither title nor text says anything'
                           WHEN 'too_few_words' THEN r.words || ' of {settings.min_words} words: ' || r.review
               END AS detail
        FROM review_texts r LEFT JOIN products p ON p.product_id = r.product_id
        """,
    )
    return collect(
        connection,
        NAME,
        "reviews",
        f"""
        SELECT {sample_id(NAME, "record_id")} AS id, category, source,
               json_object('review', review)::VARCHAR AS fields,
               []::VARCHAR[] AS options, chr(70 - rating::INTEGER) AS output, output AS label,
               [CASE WHEN {take_product_image} AND coalesce(len(review_urls), 0) = 0
                     THEN {product_image("'product'", "product_id", "product_urls")}
                     ELSE {product_image("'review'", "product_id", "review_urls")} END] AS images,
               [product_id] AS product_ids, user_id, NULL::VARCHAR AS query_id,
               [record_id] AS record_ids
        FROM task_records WHERE reason IS NULL
        """,
    )


def candidates(
    connection: duckdb.DuckDBPyConnection, settings: SentimentAnalysisSettings, splits: PredictedSplits
) -> Candidates:
    """Return the reviews with a rating and enough words.

    Of the rows with one id only those with an image are candidates. If curation keeps a row without one, the sampled
    record is lost: such ids are few, and to number all reviews would cost more than a few records.
    """
    own = "coalesce(len(image_urls), 0) > 0"
    if settings.product_image:
        own = f"{own} OR product_id IN (SELECT product_id FROM expected_product WHERE has_image)"
    return Candidates(f"""
        WITH {review_texts(f"(SELECT * FROM reviews WHERE {has_images(settings, own)})")}, worded AS (
            SELECT review_id, product_id, rating, file_index, row_index,
                   review <> '' AND words >= {settings.min_words} AS has_words
            FROM review_texts
        ), usable AS (
            SELECT * FROM worded {first_row("review_id")}
        )
        SELECT review_id AS one, product_id AS two, split, chr(70 - rating::INTEGER) AS label
        FROM usable JOIN expected_product USING (product_id)
        WHERE rating BETWEEN 1 AND 5 AND has_words
    """)


TASK = Task(
    name=NAME,
    short_name="sa",
    answer="A very positive to E very negative",
    labels=("A", "B", "C", "D", "E"),
    metric="macro F1",
    requires=("products", "reviews"),
    split_note="goes by the reviewed product, so a user may have written reviews of several splits; "
    "no text names users.",
    settings=SentimentAnalysisSettings,
    build=build,
    sampling=Sampling("review", "product", candidates),
    row=Row({"review": InputField("review")}, roles=("review", "product")),
)
