"""Amazon Reviews 2018: metadata (products and relations) and reviews.

The metadata's two picture schemas (`image` until 2020, `imageURL` and `imageURLHighRes` since 2021) and the
Python literals of 2014 (`imUrl`, `categories`, `related`) are read by the same rules: a field that a file
does not have is empty. What is known of the files' dirt stands in docs/sources.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mmecinstruct.sources.batches import ParsedBatch, RawFile, Refusal, Rows, parse_records
from mmecinstruct.sources.fields import rating_value, text_value, utc_seconds
from mmecinstruct.sources.image_urls import image_urls
from mmecinstruct.sources.json_lines import read_json_lines
from mmecinstruct.text import (
    clean_brand,
    clean_category_path,
    description_text,
    feature_texts,
    html_to_text,
    is_markup,
    parse_dollars,
    plain_title,
)

PREFIX = "amazon18"

# The comparison table of a product page names products by attribute or by link.
_ASIN_IN_HTML = re.compile(
    r"""(?:(?i:asin)["']?\s*[=:]\s*["']?|/(?:dp|gp/product)/)([A-Z0-9]{10})(?![A-Za-z0-9])"""
)


class MetadataLine(msgspec.Struct):
    """The fields that are read of a metadata line; the others are skipped while decoding."""

    asin: Any = None
    title: Any = None
    brand: Any = None
    category: Any = None
    categories: Any = None  # 2014: list of paths
    main_cat: Any = None
    description: Any = None
    feature: Any = None
    price: Any = None
    imageURLHighRes: Any = None
    imageURL: Any = None
    image: Any = None
    imUrl: Any = None  # 2014
    also_buy: Any = None
    also_view: Any = None
    related: Any = None  # 2014
    similar_item: Any = None


class ReviewLine(msgspec.Struct):
    """The fields that are read of a review line."""

    asin: Any = None
    reviewerID: Any = None
    overall: Any = None
    summary: Any = None
    reviewText: Any = None
    unixReviewTime: Any = None
    verified: Any = None
    image: Any = None


def parse_metadata(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield products and relations of a metadata file."""
    lines = read_json_lines(file.path, MetadataLine)
    return parse_records(lines, parse_product, ("products", "relations"), file.origin)


def parse_reviews(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the reviews of a review file."""
    lines = read_json_lines(file.path, ReviewLine)
    return parse_records(lines, parse_review, ("reviews",), file.origin)


def product_id(asin: str) -> str:
    """Return the id of the product with an ASIN."""
    return f"{PREFIX}:{asin}"


def parse_product(line: MetadataLine, _number: int, rows: Rows) -> Refusal | None:
    """Append a product and its relations; reasons: missing_id, missing_title, title_not_text."""
    asin = line.asin.strip() if isinstance(line.asin, str) else ""
    if not asin:
        return Refusal("missing_id", f"asin is {line.asin!r}")
    identity = product_id(asin)
    title = plain_title(line.title) if isinstance(line.title, str) else ""
    if not title:
        return Refusal("missing_title", "the title is empty", identity)
    if is_markup(title):
        return Refusal("title_not_text", title, identity)
    path = _category_path(line)
    price = parse_dollars(line.price)
    rows["products"].append(
        (
            identity,
            PREFIX,
            title,
            clean_brand(line.brand),
            path[0] if path else None,
            path,
            description_text(line.description) if line.description else "",
            feature_texts(line.feature) if line.feature else [],
            price,
            None if price is None else "USD",
            None,
            image_urls(line.imageURLHighRes, line.imageURL, line.image, line.imUrl),
        )
    )
    related: dict[str, Any] = line.related if isinstance(line.related, dict) else {}
    for linked_asins, relation in (
        (line.also_buy or related.get("also_bought"), "also_bought"),
        (line.also_view or related.get("also_viewed"), "also_viewed"),
        (_asins_in_html(line.similar_item) if line.similar_item else None, "similar"),
    ):
        if linked_asins and isinstance(linked_asins, list):
            linked = dict.fromkeys(item for item in linked_asins if item and isinstance(item, str))
            linked.pop(asin, None)
            rows["relations"] += [(identity, f"{PREFIX}:{other}", relation) for other in linked]
    return None


def _category_path(line: MetadataLine) -> list[str]:
    path = line.category
    if not path and isinstance(line.categories, list) and line.categories:
        path = line.categories[0]
    names = clean_category_path(path) if isinstance(path, list) else []
    return names or clean_category_path([line.main_cat])


def _asins_in_html(similar_item: object) -> list[str]:
    return _ASIN_IN_HTML.findall(similar_item) if isinstance(similar_item, str) else []


def parse_review(line: ReviewLine, _number: int, rows: Rows) -> Refusal | None:
    """Append a review, also one without words; reasons: missing_id, bad_rating, bad_timestamp."""
    asin, reviewer = text_value(line.asin), text_value(line.reviewerID)
    if not asin or not reviewer:
        return Refusal("missing_id", f"asin is {line.asin!r}, reviewerID is {line.reviewerID!r}")
    identity = f"{PREFIX}:{asin}:{reviewer}:{text_value(line.unixReviewTime)}"
    rating = rating_value(line.overall)
    if rating is None:
        return Refusal("bad_rating", f"overall is {line.overall!r}, not 1 to 5", identity)
    timestamp = utc_seconds(line.unixReviewTime)
    if timestamp is None:
        return Refusal("bad_timestamp", f"unixReviewTime is {line.unixReviewTime!r}", identity)
    rows["reviews"].append(
        (
            identity,
            product_id(asin),
            f"{PREFIX}:{reviewer}",
            rating,
            html_to_text(line.summary) if isinstance(line.summary, str) else "",
            html_to_text(line.reviewText) if isinstance(line.reviewText, str) else "",
            timestamp,
            line.verified if isinstance(line.verified, bool) else None,
            image_urls(line.image) if line.image else [],
        )
    )
    return None
