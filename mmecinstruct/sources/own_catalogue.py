"""A user's own tables, read through the recipe's mapping of columns.

A table is CSV (also `.tsv`), JSON lines or Parquet, by its file's ending. Ids become `<prefix>:<id>`. Where a table
has no column of ids, reviews and questions get an id from file and row number, queries from their text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records
from mmecinstruct.sources.readers.fields import (
    named_value,
    rating_value,
    relevance_label,
    text_value,
    truth_value,
)
from mmecinstruct.sources.readers.rows import Row
from mmecinstruct.sources.readers.tabular import read_rows
from mmecinstruct.sources.readers.times import utc_seconds
from mmecinstruct.sources.settings import (
    CatalogSource,
    JudgementMapping,
    ProductMapping,
    QuestionMapping,
    RelationMapping,
    ReviewMapping,
)
from mmecinstruct.text.names import category_key, clean_brand
from mmecinstruct.text.normalise import (
    description_text,
    feature_texts,
    has_tags,
    html_to_text,
    is_markup,
    plain_title,
)
from mmecinstruct.text.prices import parse_price

Mapping = ProductMapping | RelationMapping | ReviewMapping | QuestionMapping | JudgementMapping
RowParser = Callable[[Row, int, Rows], RowError | None]

ROLES = ("products", "relations", "reviews", "questions", "judgements")

# Fields of a mapping that do not name a column.
_NOT_COLUMNS = frozenset(
    {
        *("path", "optional", "currency_code", "list_separator", "names", "quoting", "day_first"),
        *("category_separator", "category_list_separator", "category_stop", "category_root"),
    }
)


def mapped_columns(role: str, mapping: Mapping) -> dict[str, str]:
    """Return the columns that a mapping names, by recipe field (`products.title`)."""
    fields = type(mapping).model_fields
    named = {field: getattr(mapping, field) for field in fields if field not in _NOT_COLUMNS}
    columns: dict[str, str] = {}
    for field, column in named.items():
        if isinstance(column, str):
            columns[f"recipe field {role}.{field}"] = column
        for number, one in enumerate(column if isinstance(column, tuple) else ()):
            columns[f"recipe field {role}.{field}[{number}]"] = one
    return columns


def parse_table(source: CatalogSource, file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the rows of one of the catalogue's tables, the one that the file's role names.

    Raises:
        SourceError: The file's ending is unknown or a mapped column is missing.
    """
    mapping: Mapping = getattr(source, file.role)
    rows = read_rows(file.path, mapped_columns(file.role, mapping), part=file.part, quoting=mapping.quoting)
    tables = ("products", "category_labels") if file.role == "products" else (file.role,)
    return parse_records(rows, _row_parser(source.prefix, mapping, file.origin), tables, file.origin)


def _row_parser(prefix: str, mapping: Mapping, origin: str) -> RowParser:
    if isinstance(mapping, ProductMapping):
        return _product_parser(prefix, mapping)
    if isinstance(mapping, RelationMapping):
        return _relation_parser(prefix, mapping)
    if isinstance(mapping, ReviewMapping):
        return _review_parser(prefix, mapping, origin)
    if isinstance(mapping, QuestionMapping):
        return _question_parser(prefix, mapping, origin)
    return _judgement_parser(prefix, mapping)


# --- one parser per table ----------------------------------------------------------------------------


def _cell(row: Row, column: str | None) -> Any:
    return None if column is None else row.get(column)


def _text(row: Row, column: str | None) -> str:
    return text_value(_cell(row, column))


def _items(value: object, separator: str) -> list[str]:
    """Return the texts of a list, or of a text split at `separator`, each once."""
    parts = value if isinstance(value, list) else text_value(value).split(separator)
    return list(dict.fromkeys(text for part in parts if (text := text_value(part))))


def _images(row: Row, mapping: ProductMapping | ReviewMapping, number: int, rows: Rows) -> list[str]:
    """Return the images of a cell; an object, or a list of objects, names none."""
    value = _cell(row, mapping.images)
    images = _items(value, mapping.list_separator)
    if not images and (isinstance(value, dict) or (isinstance(value, list) and any(value))):
        rows.lost("images", value, number)
    return images


def _product_parser(prefix: str, mapping: ProductMapping) -> RowParser:
    """Reasons: missing_id, missing_title, title_not_text."""

    def parse(row: Row, number: int, rows: Rows) -> RowError | None:
        product = _text(row, mapping.id)
        if not product:
            return RowError("missing_id", f"column '{mapping.id}' is empty")
        record_id = f"{prefix}:{product}"
        title = plain_title(_text(row, mapping.title))
        if not title:
            return RowError("missing_title", f"column '{mapping.title}' is empty", record_id)
        if is_markup(title):
            return RowError("title_not_text", title, record_id)
        path, *others = _category_paths(row, mapping) or [[]]
        price, currency = parse_price(_cell(row, mapping.price))
        if price is not None:
            currency = html_to_text(_text(row, mapping.currency)) or mapping.currency_code or currency
        features = _cell(row, mapping.features)
        rows["products"].append(
            (
                record_id,
                prefix,
                title,
                clean_brand(_cell(row, mapping.brand)),
                path[0] if path else None,
                path,
                description_text(_cell(row, mapping.description)),
                feature_texts(_items(features, mapping.list_separator)),
                price,
                currency,
                html_to_text(" ".join(_items(_cell(row, mapping.color), mapping.list_separator))) or None,
                _images(row, mapping, number, rows),
                f"{prefix}:{group}" if (group := _text(row, mapping.group)) else None,
            )
        )
        rows["category_labels"] += [(record_id, None, other) for other in others]
        return None

    return parse


def _category_paths(row: Row, mapping: ProductMapping) -> list[list[str]]:
    """Return the different category paths of a product, without those that lead to another one."""
    columns = (mapping.category,) if isinstance(mapping.category, str) else mapping.category or ()
    found: dict[tuple[str, ...], list[str]] = {}
    for column in columns:
        for parts in _paths(_cell(row, column), mapping):
            path = _category_path(parts, mapping)
            found.setdefault(tuple(map(category_key, path)), path)
    return [
        path
        for key, path in found.items()
        if key and not any(other != key and other[: len(key)] == key for other in found)
    ]


def _paths(value: object, mapping: ProductMapping) -> list[list[object]]:
    """Return the parts of each path in a cell: of a text, a list of texts or a list of lists."""
    if isinstance(value, list):
        texts = [part for part in value if isinstance(part, str)]
        several = mapping.category_list_separator or any(mapping.category_separator in one for one in texts)
        if not several and not any(isinstance(part, list) for part in value):
            return [value]
        return [
            path for part in value for path in ([part] if isinstance(part, list) else _paths(part, mapping))
        ]
    # Tags are removed first: the separator is often `>`.
    text = text_value(value)
    text = html_to_text(text) if has_tags(text) else text
    separator = mapping.category_list_separator
    cells = _split(text, separator) if separator else [text]
    return [list(_split(cell, mapping.category_separator)) for cell in cells]


def _split(text: str, separator: str) -> list[str]:
    """Split a text at a separator, but not where a backslash is before it."""
    parts = re.split(rf"(?<!\\){re.escape(separator)}", text)
    return [part.replace(f"\\{separator}", separator) for part in parts]


def _category_path(parts: list[object], mapping: ProductMapping) -> list[str]:
    """Return the names of a path, without a root, cut before a part where it has to stop."""
    roots = set(map(category_key, mapping.category_root))
    names: list[str] = []
    for part in parts:
        name = html_to_text(text_value(part))
        if name in mapping.category_stop:
            break
        if name and (names or category_key(name) not in roots):
            names.append(name)
    return names


def _relation_parser(prefix: str, mapping: RelationMapping) -> RowParser:
    """Reasons: missing_id, self_relation, unmapped_relation."""

    def parse(row: Row, _number: int, rows: Rows) -> RowError | None:
        product, linked = _text(row, mapping.product), _text(row, mapping.linked_product)
        if not product or not linked:
            return RowError("missing_id", f"product is '{product}', linked product is '{linked}'")
        record_id = f"{prefix}:{product}"
        if product == linked:
            return RowError("self_relation", "the product is linked to itself", record_id)
        word = _text(row, mapping.relation)
        relation = named_value(word, mapping.names)
        if relation is None:
            return RowError(
                "unmapped_relation", f"'{word}' is not in relations.names of the recipe", record_id
            )
        rows["relations"].append((record_id, f"{prefix}:{linked}", relation))
        return None

    return parse


def _review_parser(prefix: str, mapping: ReviewMapping, origin: str) -> RowParser:
    """Reasons: missing_id, bad_rating."""

    def parse(row: Row, number: int, rows: Rows) -> RowError | None:
        record_id = _record_id(prefix, "review", _text(row, mapping.id), origin, number)
        product = _text(row, mapping.product)
        if not product:
            return RowError("missing_id", f"column '{mapping.product}' is empty", record_id)
        rating = rating_value(_cell(row, mapping.rating))
        if rating is None:
            return RowError("bad_rating", f"'{_text(row, mapping.rating)}' is not 1 to 5", record_id)
        time = _cell(row, mapping.timestamp)
        timestamp = utc_seconds(time, mapping.day_first)
        # Tables with gaps have blanks or NaN in them.
        if timestamp is None and time is not None and (text_value(time) or not isinstance(time, str | float)):
            rows.lost("times", time, number)
        user = _text(row, mapping.user)
        rows["reviews"].append(
            (
                record_id,
                f"{prefix}:{product}",
                f"{prefix}:{user}" if user else None,
                rating,
                html_to_text(_text(row, mapping.title)),
                html_to_text(_text(row, mapping.text)),
                timestamp,
                None,
                _images(row, mapping, number, rows),
            )
        )
        return None

    return parse


def _question_parser(prefix: str, mapping: QuestionMapping, origin: str) -> RowParser:
    """Reasons: missing_id, missing_text, bad_label."""

    def parse(row: Row, number: int, rows: Rows) -> RowError | None:
        record_id = _record_id(prefix, "question", _text(row, mapping.id), origin, number)
        product = _text(row, mapping.product)
        if not product:
            return RowError("missing_id", f"column '{mapping.product}' is empty", record_id)
        question = html_to_text(_text(row, mapping.question))
        if not question:
            return RowError("missing_text", f"column '{mapping.question}' is empty", record_id)
        answerable = truth_value(_cell(row, mapping.answerable))
        if answerable is None:
            detail = f"'{_text(row, mapping.answerable)}' is not true/false, yes/no or 1/0"
            return RowError("bad_label", detail, record_id)
        snippets = _items(_cell(row, mapping.document), mapping.list_separator)
        texts = [text for snippet in snippets if (text := html_to_text(snippet))]
        rows["questions"].append((record_id, f"{prefix}:{product}", None, question, texts, answerable))
        return None

    return parse


def _judgement_parser(prefix: str, mapping: JudgementMapping) -> RowParser:
    """Reasons: missing_id, missing_text, bad_label."""

    def parse(row: Row, _number: int, rows: Rows) -> RowError | None:
        product = _text(row, mapping.product)
        if not product:
            return RowError("missing_id", f"column '{mapping.product}' is empty")
        record_id = f"{prefix}:{product}"
        query = html_to_text(_text(row, mapping.query))
        if not query:
            return RowError("missing_text", f"column '{mapping.query}' is empty", record_id)
        grade = _text(row, mapping.label)
        label = named_value(grade, mapping.names) if mapping.names else relevance_label(grade)
        if label is None:
            wanted = "in judgements.names of the recipe" if mapping.names else "E, S, C or I"
            return RowError("bad_label", f"'{grade}' is not {wanted}", record_id)
        query_id = _text(row, mapping.query_id) or f"query:{fingerprint(query.casefold())}"
        rows["judgements"].append((f"{prefix}:{query_id}", query, record_id, label, None, None))
        return None

    return parse


def _record_id(prefix: str, kind: str, given: str, origin: str, number: int) -> str:
    """Return `<prefix>:<id>`, or an id of file and row number where the table has no ids."""
    return f"{prefix}:{given}" if given else f"{prefix}:{kind}:{origin}:{number}"
