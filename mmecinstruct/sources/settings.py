"""Sources of a recipe: which raw files to read, and how a shop's own tables are mapped."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from mmecinstruct.core.globs import is_glob
from mmecinstruct.core.settings import Settings

Glob = Annotated[str, AfterValidator(is_glob)]
Separator = Annotated[str, Field(min_length=1)]


class AmazonMetadata(Settings):
    """Amazon 2018 product metadata (`meta_<Category>.json.gz`): products and relations."""

    kind: Literal["amazon18_metadata"]
    path: Glob


class AmazonReviews(Settings):
    """Amazon 2018 reviews: 5-core (`<Category>_5.json.gz`) or all (`<Category>.json.gz`)."""

    kind: Literal["amazon18_reviews"]
    path: Glob


class AmazonRatings(Settings):
    """Amazon 2018 or 2014 ratings without words (`<Category>.csv`)."""

    kind: Literal["amazon18_ratings"]
    path: Glob


class Amazon2023Metadata(Settings):
    """Amazon 2023 product metadata (`meta_<Category>.jsonl.gz`, or Parquet): products."""

    kind: Literal["amazon23_metadata"]
    path: Glob


class Amazon2023Reviews(Settings):
    """Amazon 2023 reviews (`<Category>.jsonl.gz`, or Parquet)."""

    kind: Literal["amazon23_reviews"]
    path: Glob


class EsciSource(Settings):
    """ESCI shopping queries: examples and products, two Parquet files, or one that joins them, named twice."""

    kind: Literal["esci"]
    examples: Glob
    products: Glob
    sources: Glob | None = None  # what kind of query each is (CSV); no task reads it
    locale: str = "us"


class EsciPages(Settings):
    """ESCI-S: images and categories of ESCI products (JSON lines)."""

    kind: Literal["esci_s"]
    path: Glob
    locale: str = "us"


class SqidSource(Settings):
    """SQID image URLs of ESCI products (CSV)."""

    kind: Literal["sqid"]
    path: Glob


class AmazonQaSource(Settings):
    """AmazonQA questions with review snippets (JSON lines)."""

    kind: Literal["amazonqa"]
    path: Glob


class MaveSource(Settings):
    """MAVE labels, used for their fine-grained category (JSON lines)."""

    kind: Literal["mave"]
    path: Glob


class AboSource(Settings):
    """Amazon Berkeley Objects: listings (JSON lines) and the table of their images (CSV)."""

    kind: Literal["abo"]
    listings: Glob
    images: Glob
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")] = "en"  # or with a country, `en_US`


class ProductMapping(Settings):
    """Which column of a shop's product table holds what. Only `id` and `title` are required."""

    path: Glob
    id: str
    title: str
    brand: str | None = None
    category: str | None = None  # a path, cut at category_separator, or one name
    category_separator: Separator = ">"
    # A path is cut before the first of these: shops file promotions next to real categories.
    category_stop: tuple[str, ...] = ()
    description: str | None = None
    price: str | None = None
    currency: str | None = None  # a column; see also `currency_code`
    currency_code: str | None = None  # the same for all products
    color: str | None = None
    features: str | None = None
    images: str | None = None  # paths or URLs
    list_separator: Separator = "|"  # for list columns of CSV files


class RelationMapping(Settings):
    """Which column of a shop's table of linked products holds what."""

    path: Glob
    optional: bool = False  # a table that is not there is then no error
    product: str
    linked_product: str
    relation: str
    # The shop's word for a link: also_bought | also_viewed | similar
    names: dict[str, Literal["also_bought", "also_viewed", "similar"]]


class ReviewMapping(Settings):
    """Which column of a shop's review table holds what."""

    path: Glob
    optional: bool = False  # a table that is not there is then no error
    product: str
    rating: str
    text: str
    title: str | None = None
    id: str | None = None
    user: str | None = None
    timestamp: str | None = None  # UTC seconds or ISO 8601
    images: str | None = None
    list_separator: Separator = "|"


class QuestionMapping(Settings):
    """Which column of a shop's question table holds what."""

    path: Glob
    optional: bool = False  # a table that is not there is then no error
    product: str
    question: str
    document: str  # review snippets
    answerable: str  # true/false, yes/no, 1/0
    id: str | None = None
    list_separator: Separator = "|"


class JudgementMapping(Settings):
    """Which column of a shop's query-product relevance table holds what."""

    path: Glob
    optional: bool = False  # a table that is not there is then no error
    query: str
    product: str
    label: str
    query_id: str | None = None
    # The shop's grades; without them E, S, C, I, their words, and ESCI's gains of 100, 10, 1 and 0
    names: dict[str, Literal["E", "S", "C", "I"]] = Field(default_factory=dict)


class CatalogSource(Settings):
    """A user's own tables: CSV, JSON lines or Parquet, by file ending."""

    kind: Literal["catalog"]
    prefix: str = "shop"  # of the ids
    products: ProductMapping
    relations: RelationMapping | None = None
    reviews: ReviewMapping | None = None
    questions: QuestionMapping | None = None
    judgements: JudgementMapping | None = None

    @field_validator("prefix")
    @classmethod
    def _prefix_is_plain(cls, value: str) -> str:
        if not value.replace("-", "").replace("_", "").isalnum():
            raise ValueError("a prefix consists of letters, digits, - and _")
        return value


Source = Annotated[
    AmazonMetadata
    | AmazonReviews
    | AmazonRatings
    | Amazon2023Metadata
    | Amazon2023Reviews
    | EsciSource
    | EsciPages
    | SqidSource
    | AmazonQaSource
    | MaveSource
    | AboSource
    | CatalogSource,
    Field(discriminator="kind"),
]
