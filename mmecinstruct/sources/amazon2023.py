"""Amazon Reviews 2023: product metadata and reviews, as raw JSON lines and as `datasets` returns them.

The second form (JSON lines or Parquet) differs: a missing price is the text `None`, `details` is JSON within a text,
and images are an object of lists. Variants of a product have ASINs of their own (`asin`); metadata is kept for their
parent, so `parent_asin` names the product everywhere. No file of 2023 has products bought or viewed together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from mmecinstruct.images.urls import image_urls
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import content_hash, rating_value, text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.parquet import read_parquet
from mmecinstruct.sources.readers.times import utc_seconds
from mmecinstruct.text.names import clean_brand, clean_category_path
from mmecinstruct.text.normalise import description_text, feature_texts, html_to_text, is_markup, plain_title
from mmecinstruct.text.prices import parse_dollars

PREFIX = "amazon23"

_PLAIN_AMOUNT = re.compile(r"\s*\d+(?:\.\d+)?\s*")


class MetadataLine(msgspec.Struct, gc=False):
    """The fields of a metadata line that are read."""

    parent_asin: Any = None
    # Not in the published files, but in copies that name products by it.
    asin: Any = None
    title: Any = None
    main_category: Any = None
    categories: Any = None
    store: Any = None
    description: Any = None
    features: Any = None
    price: Any = None
    images: Any = None
    details: Any = None


class ReviewLine(msgspec.Struct, gc=False):
    """The fields of a review line that are read, with their older names."""

    parent_asin: Any = None
    asin: Any = None
    user_id: Any = None
    rating: Any = None
    title: Any = None
    text: Any = None
    timestamp: Any = None
    sort_timestamp: Any = None  # older
    sortTimestamp: Any = None  # older still
    verified_purchase: Any = None
    images: Any = None


Line = TypeVar("Line", MetadataLine, ReviewLine)


def parse_metadata(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the products of a metadata file."""
    lines = _read(file, MetadataLine, "parent_asin")
    return parse_records(lines, parse_product, ("products",), file.origin)


def parse_reviews(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the reviews of a review file."""
    lines = _read(file, ReviewLine, "user_id")
    return parse_records(lines, parse_review, ("reviews",), file.origin)


def _read(file: RawFile, line_type: type[Line], required: str) -> Iterable[tuple[int, Line | RowError]]:
    if file_format(file.path).table != "parquet":
        return read_json_lines(file.path, line_type, part=file.part)
    wanted = {f"a file of Amazon Reviews 2023 has {required}": required}
    rows = read_parquet(file.path, wanted, line_type.__struct_fields__, file.part)
    return (
        (number, row if isinstance(row, RowError) else msgspec.convert(row, line_type))
        for number, row in rows
    )


def parse_product(line: MetadataLine, _number: int, rows: Rows) -> RowError | None:
    """Append a product; reasons: missing_id, missing_title, title_not_text."""
    parent = text_value(line.parent_asin)
    asin = parent or text_value(line.asin)
    if not asin:
        return RowError("missing_id", f"parent_asin is {shown(line.parent_asin)}")
    record_id = f"{PREFIX}:{asin}"
    title = plain_title(line.title) if isinstance(line.title, str) else ""
    if not title:
        return RowError("missing_title", "the title is empty", record_id)
    if is_markup(title):
        return RowError("title_not_text", title, record_id)
    path = clean_category_path(line.categories) if isinstance(line.categories, list) else []
    path = path or clean_category_path([line.main_category])
    details = _details(line.details)
    price = _price(line.price)
    rows["products"].append(
        (
            record_id,
            PREFIX,
            title,
            clean_brand(line.store) or clean_brand(details.get("Brand")),
            path[0] if path else None,
            path,
            description_text(line.description) if line.description else "",
            feature_texts(line.features) if line.features else [],
            price,
            None if price is None else "USD",
            clean_brand(details.get("Color")),
            image_urls(line.images) if line.images else [],
            f"{PREFIX}:{parent}" if parent else None,
        )
    )
    return None


def _details(details: object) -> dict[str, Any]:
    """Return the details, an object or JSON within a text; empty where they are neither."""
    if isinstance(details, str) and details.startswith("{"):
        try:
            details = msgspec.json.decode(details)
        except (ValueError, RecursionError):
            return {}
    return details if isinstance(details, dict) else {}


def _price(price: object) -> float | None:
    """Return dollars of a number or a text with or without a sign; None for `None`, `—`, `from 9.99`."""
    if isinstance(price, str) and _PLAIN_AMOUNT.fullmatch(price):
        price = float(price)
    return parse_dollars(price)


def parse_review(line: ReviewLine, number: int, rows: Rows) -> RowError | None:
    """Append a review, with or without text and time; reasons: missing_id, bad_rating."""
    variant = text_value(line.asin)
    asin, reviewer = text_value(line.parent_asin) or variant, text_value(line.user_id)
    if not asin:
        return RowError("missing_id", f"parent_asin is {shown(line.parent_asin)}")
    product = f"{PREFIX}:{asin}"
    if not reviewer:
        return RowError("missing_id", f"user_id is {shown(line.user_id)}", product)
    time = next((t for t in (line.timestamp, line.sort_timestamp, line.sortTimestamp) if t is not None), None)
    rating = rating_value(line.rating)
    content = content_hash(rating, line.title, line.text)
    record_id = f"{PREFIX}:{variant or asin}:{reviewer}:{text_value(time)}-{content}"
    if rating is None:
        return RowError("bad_rating", f"rating is {shown(line.rating)}, not 1 to 5", record_id)
    timestamp = utc_seconds(time)
    if timestamp is None and time is not None:
        rows.lost("times", time, number)
    rows["reviews"].append(
        (
            record_id,
            product,
            f"{PREFIX}:{reviewer}",
            rating,
            html_to_text(line.title) if isinstance(line.title, str) else "",
            html_to_text(line.text) if isinstance(line.text, str) else "",
            timestamp,
            line.verified_purchase if isinstance(line.verified_purchase, bool) else None,
            image_urls(line.images) if line.images else [],
        )
    )
    return None
