"""ESCI shopping queries: judgements of query-product pairs, and the products' texts.

Both files hold several locales, and a product id may occur in more than one: rows of other locales than the
recipe's are rejected (`other_locale`), after which ids are unique.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmecinstruct.sources.batches import ParsedBatch, RawFile, Refusal, Rows, parse_records
from mmecinstruct.sources.fields import relevance_label, text_value
from mmecinstruct.sources.tabular import Row, read_parquet
from mmecinstruct.text import clean_brand, feature_texts, html_to_text, is_markup, normalise_text, plain_title

PREFIX = "esci"

_EXAMPLE_COLUMNS = ("query_id", "query", "product_id", "product_locale", "esci_label", "split")
_PRODUCT_COLUMNS = (
    "product_id",
    "product_title",
    "product_description",
    "product_bullet_point",
    "product_brand",
    "product_color",
    "product_locale",
)


def parse_examples(file: RawFile, locale: str) -> Iterator[ParsedBatch]:
    """Yield the judgements of the examples file.

    Reasons: other_locale, missing_id, missing_text, bad_label.
    """

    def parse(row: Row, _number: int, rows: Rows) -> Refusal | None:
        if row["product_locale"] != locale:
            return _other_locale(row, locale)
        query_id, product = text_value(row["query_id"]), text_value(row["product_id"])
        if not query_id or not product:
            return Refusal("missing_id", f"query_id is {query_id!r}, product_id is {product!r}")
        identity = f"{PREFIX}:{query_id}"
        query = normalise_text(text_value(row["query"]))
        if not query:
            return Refusal("missing_text", "the query is empty", identity)
        label = relevance_label(row["esci_label"])
        if label is None:
            return Refusal("bad_label", f"esci_label is {row['esci_label']!r}", identity)
        split = text_value(row["split"]) or None
        rows["judgements"].append((identity, query, f"{PREFIX}:{product}", label, locale, split))
        return None

    wanted = {f"an ESCI examples file has {name}": name for name in _EXAMPLE_COLUMNS}
    return parse_records(read_parquet(file.path, wanted), parse, ("judgements",), file.origin)


def parse_products(file: RawFile, locale: str) -> Iterator[ParsedBatch]:
    """Yield the products of the products file.

    Reasons: other_locale, missing_id, missing_title, title_not_text.
    """

    def parse(row: Row, _number: int, rows: Rows) -> Refusal | None:
        if row["product_locale"] != locale:
            return _other_locale(row, locale)
        product = text_value(row["product_id"])
        if not product:
            return Refusal("missing_id", "product_id is empty")
        identity = f"{PREFIX}:{product}"
        title = plain_title(text_value(row["product_title"]))
        if not title:
            return Refusal("missing_title", "the title is empty", identity)
        if is_markup(title):
            return Refusal("title_not_text", title, identity)
        rows["products"].append(
            (
                identity,
                PREFIX,
                title,
                clean_brand(row["product_brand"]),
                None,
                [],
                html_to_text(text_value(row["product_description"])),
                feature_texts(text_value(row["product_bullet_point"]).split("\n")),
                None,
                None,
                plain_title(text_value(row["product_color"])) or None,
                [],
            )
        )
        return None

    wanted = {f"an ESCI products file has {name}": name for name in _PRODUCT_COLUMNS}
    return parse_records(read_parquet(file.path, wanted), parse, ("products",), file.origin)


def _other_locale(row: Row, locale: str) -> Refusal:
    product = text_value(row["product_id"])
    return Refusal(
        "other_locale",
        f"locale is {row['product_locale']!r}, the recipe wants {locale!r}",
        f"{PREFIX}:{product}" if product else "",
    )
