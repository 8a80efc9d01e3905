"""ESCI shopping queries: relevance judgements of query-product pairs, and the products' texts.

Both files hold several locales, and a product id may occur in more than one. Rows of other locales than the recipe's
are rejected (`other_locale`); the remaining ids are unique.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import relevance_label, text_value
from mmecinstruct.sources.readers.rows import Row
from mmecinstruct.sources.readers.tabular import read_rows
from mmecinstruct.text.names import clean_brand
from mmecinstruct.text.normalise import feature_texts, html_to_text, is_markup, plain_title

PREFIX = "esci"

# The columns that are read. Copies of the data may lack the optional ones; some join both files, without `split`.
_EXAMPLE_COLUMNS = ("query_id", "query", "product_id", "product_locale", "esci_label")
_EXAMPLE_OPTIONS = ("split",)
_PRODUCT_COLUMNS = ("product_id", "product_title", "product_locale")
_PRODUCT_OPTIONS = ("product_description", "product_bullet_point", "product_brand", "product_color")
_SOURCE_COLUMNS = ("query_id", "source")


def parse_examples(file: RawFile, locale: str) -> Iterator[ParsedBatch]:
    """Yield the relevance judgements of the examples file.

    Reasons: other_locale, missing_id, missing_text, bad_label.

    Args:
        file: The examples file, or a part of it.
        locale: The locale to keep, e.g. `us`.
    """

    def parse(row: Row, _number: int, rows: Rows) -> RowError | None:
        if row.get("product_locale") != locale:
            return _other_locale(row, locale)
        query_id, product = text_value(row.get("query_id")), text_value(row.get("product_id"))
        if not query_id or not product:
            return RowError("missing_id", f"query_id is {shown(query_id)}, product_id is {shown(product)}")
        record_id = f"{PREFIX}:{query_id}"
        query = html_to_text(text_value(row.get("query")))
        if not query:
            return RowError("missing_text", "the query is empty", record_id)
        label = relevance_label(row.get("esci_label"))
        if label is None:
            return RowError("bad_label", f"esci_label is {shown(row.get('esci_label'))}", record_id)
        split = text_value(row.get("split")) or None
        rows["judgements"].append((record_id, query, f"{PREFIX}:{product}", label, locale, split))
        return None

    wanted = {f"an ESCI examples file has {name}": name for name in _EXAMPLE_COLUMNS}
    rows = read_rows(file.path, wanted, _EXAMPLE_OPTIONS, file.part)
    return parse_records(rows, parse, ("judgements",), file.origin)


def parse_products(file: RawFile, locale: str) -> Iterator[ParsedBatch]:
    """Yield the products of the products file.

    Reasons: other_locale, missing_id, missing_title, title_not_text.

    Args:
        file: The products file, or a part of it.
        locale: The locale to keep, e.g. `us`.
    """

    def parse(row: Row, _number: int, rows: Rows) -> RowError | None:
        if row.get("product_locale") != locale:
            return _other_locale(row, locale)
        product = text_value(row.get("product_id"))
        if not product:
            return RowError("missing_id", "product_id is empty")
        record_id = f"{PREFIX}:{product}"
        title = plain_title(text_value(row.get("product_title")))
        if not title:
            return RowError("missing_title", "the title is empty", record_id)
        if is_markup(title):
            return RowError("title_not_text", title, record_id)
        rows["products"].append(
            (
                record_id,
                PREFIX,
                title,
                clean_brand(row.get("product_brand")),
                None,
                [],
                html_to_text(text_value(row.get("product_description"))),
                feature_texts(text_value(row.get("product_bullet_point")).split("\n")),
                None,
                None,
                html_to_text(text_value(row.get("product_color"))) or None,
                [],
                None,
            )
        )
        return None

    wanted = {f"an ESCI products file has {name}": name for name in _PRODUCT_COLUMNS}
    rows = read_rows(file.path, wanted, _PRODUCT_OPTIONS, file.part)
    return parse_records(rows, parse, ("products",), file.origin)


def parse_query_kinds(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the kind of each query: the publisher's name for how the query was sampled.

    Reasons: missing_id, missing_kind.
    """
    wanted = {f"an ESCI sources file has {name}": name for name in _SOURCE_COLUMNS}
    rows = read_rows(file.path, wanted, part=file.part)
    return parse_records(rows, _parse_query_kind, ("query_kinds",), file.origin)


def _parse_query_kind(row: Row, _number: int, rows: Rows) -> RowError | None:
    query_id, kind = text_value(row.get("query_id")), html_to_text(text_value(row.get("source")))
    if not query_id:
        return RowError("missing_id", f"query_id is {shown(row.get('query_id'))}")
    if not kind:
        return RowError("missing_kind", f"source is {shown(row.get('source'))}", f"{PREFIX}:{query_id}")
    rows["query_kinds"].append((f"{PREFIX}:{query_id}", kind))
    return None


def _other_locale(row: Row, locale: str) -> RowError:
    product = text_value(row.get("product_id"))
    return RowError(
        "other_locale",
        f"locale is {shown(row.get('product_locale'))}, the recipe wants {shown(locale)}",
        f"{PREFIX}:{product}" if product else "",
    )
