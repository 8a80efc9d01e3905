"""Sources of a recipe: which raw files to read, and which columns of a shop's own tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from mmecinstruct.core.globs import is_glob
from mmecinstruct.core.settings import Settings

Glob = Annotated[
    str,
    AfterValidator(is_glob),
    Field(
        description="File to read, relative to the data root. A glob such as `meta_*.json.gz` reads several."
    ),
]
Separator = Annotated[
    str,
    Field(min_length=1, description="Text between the values of a cell that holds several, in CSV files."),
]
Quoting = Literal["auto", "standard", "none"]
QuotingField = Annotated[
    Quoting,
    Field(
        description="What a quote at the beginning of a cell of CSV or TSV means. `auto`: it encloses the cell, except "
        "where a line that looks like a row of its own would be joined; in TSV, a quote that nobody closes or doubles "
        "is a character. `standard`: it always encloses the cell. `none`: it is a character."
    ),
]
Optional = Annotated[bool, Field(description="Build without this table where the file is missing.")]


class AmazonMetadata(Settings):
    """Amazon 2018 product metadata (`meta_<Category>.json.gz`): products and relations."""

    kind: Literal["amazon18_metadata"] = Field(description="Format of the source.")
    path: Glob


class AmazonReviews(Settings):
    """Amazon 2018 reviews: 5-core (`<Category>_5.json.gz`) or all (`<Category>.json.gz`)."""

    kind: Literal["amazon18_reviews"] = Field(description="Format of the source.")
    path: Glob


class AmazonRatings(Settings):
    """Amazon 2018 or 2014 ratings without words (`<Category>.csv`)."""

    kind: Literal["amazon18_ratings"] = Field(description="Format of the source.")
    path: Glob


class Amazon2023Metadata(Settings):
    """Amazon 2023 product metadata (`meta_<Category>.jsonl.gz`, or Parquet): products."""

    kind: Literal["amazon23_metadata"] = Field(description="Format of the source.")
    path: Glob


class Amazon2023Reviews(Settings):
    """Amazon 2023 reviews (`<Category>.jsonl.gz`, or Parquet)."""

    kind: Literal["amazon23_reviews"] = Field(description="Format of the source.")
    path: Glob


EsciLocale = Literal["us", "es", "jp"]


class EsciSource(Settings):
    """ESCI shopping queries: examples and products as two Parquet files, or as one joined file, named twice."""

    kind: Literal["esci"] = Field(description="Format of the source.")
    examples: Glob = Field(description="Parquet file of the judged query-product pairs.")
    products: Glob = Field(description="Parquet file of the products.")
    sources: Glob | None = Field(
        default=None, description="CSV file with the kind of each query. No task reads it."
    )
    locale: EsciLocale = Field(default="us", description="Locale to read. Other rows are rejected.")


class EsciPages(Settings):
    """ESCI-S: images and categories of ESCI products (JSON lines)."""

    kind: Literal["esci_s"] = Field(description="Format of the source.")
    path: Glob
    locale: EsciLocale = Field(default="us", description="Locale to read. Other rows are rejected.")


class SqidSource(Settings):
    """SQID image URLs of ESCI products (CSV)."""

    kind: Literal["sqid"] = Field(description="Format of the source.")
    path: Glob


class AmazonQaSource(Settings):
    """AmazonQA questions with review snippets (JSON lines)."""

    kind: Literal["amazonqa"] = Field(description="Format of the source.")
    path: Glob


class MaveSource(Settings):
    """MAVE labels, used for their fine-grained category (JSON lines)."""

    kind: Literal["mave"] = Field(description="Format of the source.")
    path: Glob


class AboSource(Settings):
    """Amazon Berkeley Objects: listings (JSON lines) and the table of their images (CSV)."""

    kind: Literal["abo"] = Field(description="Format of the source.")
    listings: Glob = Field(description="JSON lines files of the listings. May be a glob.")
    images: Glob = Field(description="CSV file that gives the path of each image.")
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$",
        description="Language of titles and texts, such as `en`, or with a country, such as `en_US`.",
    )


class ProductMapping(Settings):
    """Columns of a shop's product table. Only `id` and `title` are required."""

    path: Glob
    quoting: QuotingField = "auto"
    id: str = Field(description="Column of the product ids.")
    title: str = Field(description="Column of the titles.")
    group: str | None = Field(
        default=None,
        description="Column that the variants of one article share (`item_group_id`, parent SKU, handle). They share a "
        "split and are no wrong options for each other; they stay products with samples of their own.",
    )
    brand: str | None = Field(default=None, description="Column of the brands.")
    category: str | tuple[str, ...] | None = Field(
        default=None,
        description="Column of the categories: a path with `category_separator`, or one name. A list of columns gives "
        "a product the categories of each.",
    )
    category_list_separator: str | None = Field(
        default=None,
        min_length=1,
        description="Text between the categories of a product that lies in several, such as `,`. After a backslash it "
        "is part of a name. Lists in JSON and Parquet are several categories where this is set or where a text in "
        "them has `category_separator`; else a list is one path.",
    )
    category_separator: Separator = Field(
        default=">", description="Text between the parts of a category path."
    )
    category_stop: tuple[str, ...] = Field(
        default=(),
        description="Parts of a category path, such as `Promotions`, before which the path is cut.",
    )
    category_root: tuple[str, ...] = Field(
        default=("Default Category", "Root Catalog"),
        description="Names at the top of all paths that are no categories, as in Magento. They are removed.",
    )
    description: str | None = Field(default=None, description="Column of the descriptions.")
    price: str | None = Field(default=None, description="Column of the prices.")
    currency: str | None = Field(
        default=None,
        description="Column of the currency codes. For one currency, give `currency_code` instead.",
    )
    currency_code: str | None = Field(default=None, description="Currency of all prices, such as `USD`.")
    color: str | None = Field(default=None, description="Column of the colours.")
    features: str | None = Field(default=None, description="Column of the feature texts; may hold several.")
    images: str | None = Field(
        default=None, description="Column of the images, as paths or URLs; may hold several."
    )
    list_separator: Separator = "|"

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.category_list_separator == self.category_separator:
            raise ValueError(
                f"category_list_separator and category_separator are both '{self.category_separator}', so a path would "
                "be read as several categories; set another one, or leave category_list_separator out"
            )
        return self


class RelationMapping(Settings):
    """Columns of a shop's table of linked products."""

    path: Glob
    optional: Optional = False
    quoting: QuotingField = "auto"
    product: str = Field(description="Column of the product ids.")
    linked_product: str = Field(description="Column of the ids of the linked products.")
    relation: str = Field(description="Column of the kinds of link.")
    names: dict[str, Literal["also_bought", "also_viewed", "similar"]] = Field(
        description="The kind of link for each value of the column `relation`. Other values are rejected."
    )


class ReviewMapping(Settings):
    """Columns of a shop's review table."""

    path: Glob
    optional: Optional = False
    quoting: QuotingField = "auto"
    product: str = Field(description="Column of the product ids.")
    rating: str = Field(description="Column of the ratings, 1 to 5.")
    text: str = Field(description="Column of the review texts.")
    title: str | None = Field(default=None, description="Column of the review titles.")
    id: str | None = Field(
        default=None, description="Column of the review ids. Default: file and row number."
    )
    user: str | None = Field(
        default=None, description="Column of the user ids. Sequential recommendation needs them."
    )
    timestamp: str | None = Field(
        default=None,
        description="Column of the times: seconds since 1970 or thousandths of them, ISO 8601, `Jan 5, 2023`, "
        "RFC 2822; without a zone they are UTC. A time that cannot be read costs the time, not the review. Sequential "
        "recommendation needs them.",
    )
    day_first: bool | None = Field(
        default=None,
        description="Whether the day stands before the month in times such as `05/01/2023`. Unset, only dates that one "
        "order fits are read, such as `25/01/2023`.",
    )
    images: str | None = Field(
        default=None, description="Column of the images, as paths or URLs; may hold several."
    )
    list_separator: Separator = "|"


class QuestionMapping(Settings):
    """Columns of a shop's question table."""

    path: Glob
    optional: Optional = False
    quoting: QuotingField = "auto"
    product: str = Field(description="Column of the product ids.")
    question: str = Field(description="Column of the questions.")
    document: str = Field(description="Column of the review snippets to answer from; may hold several.")
    answerable: str = Field(
        description="Column that says whether the snippets answer the question: true/false, yes/no or 1/0."
    )
    id: str | None = Field(
        default=None, description="Column of the question ids. Default: file and row number."
    )
    list_separator: Separator = "|"


class JudgementMapping(Settings):
    """Columns of a shop's table of relevance judgements."""

    path: Glob
    optional: Optional = False
    quoting: QuotingField = "auto"
    query: str = Field(description="Column of the query texts.")
    product: str = Field(description="Column of the product ids.")
    label: str = Field(description="Column of the labels, or of grades that `names` translates.")
    query_id: str | None = Field(
        default=None, description="Column of the query ids. Default: ids from the query texts."
    )
    names: dict[str, Literal["E", "S", "C", "I"]] = Field(
        default_factory=dict,
        description="The label (exact, substitute, complement, irrelevant) of each grade. Default: E, S, C and I, "
        "their words, and ESCI's gains of 100, 10, 1 and 0.",
    )


class CatalogSource(Settings):
    """Your own tables: CSV, JSON lines or Parquet, recognised by the file name."""

    kind: Literal["catalog"] = Field(description="Format of the source.")
    prefix: str = Field(default="shop", description="Prefix of all ids, such as `shop:SKU-1`.")
    products: ProductMapping = Field(description="The product table.")
    relations: RelationMapping | None = Field(
        default=None, description="The table of linked products. Product relation prediction needs it."
    )
    reviews: ReviewMapping | None = Field(
        default=None,
        description="The review table. Sentiment analysis and sequential recommendation need it.",
    )
    questions: QuestionMapping | None = Field(
        default=None, description="The question table. Answerability prediction needs it."
    )
    judgements: JudgementMapping | None = Field(
        default=None,
        description="The table of relevance judgements. Product substitute identification and multiclass product "
        "classification need it.",
    )

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
