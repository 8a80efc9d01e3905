"""Amazon Reviews 2018: metadata (products and relations), reviews, and ratings without text.

The metadata's two image schemas (`image` until 2020, `imageURL` and `imageURLHighRes` since 2021) and the
Python literals of 2014 (`imUrl`, `categories`, `related`) are read by the same rules: a field that a file
does not have is empty. The source reference lists the known dirt of these files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.images.urls import image_urls
from mmecinstruct.schemas.tables import PRODUCTS, RELATIONS, REVIEWS, STRINGS
from mmecinstruct.sources.readers.batches import (
    BATCH_BYTES,
    FLUSH,
    ParsedBatch,
    RawFile,
    RowError,
    Rows,
    parse_lists,
    parse_records,
    shown,
    without_origin,
)
from mmecinstruct.sources.readers.columns import (
    cleaned_texts,
    description_column,
    feature_column,
    plain_ids,
    usual_ratings,
    usual_seconds,
)
from mmecinstruct.sources.readers.fields import content_hash, content_hashes, rating_value, text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines, read_json_lists
from mmecinstruct.sources.readers.streams import read_lines
from mmecinstruct.sources.readers.times import utc_seconds
from mmecinstruct.text.names import clean_brand, clean_category_path
from mmecinstruct.text.normalise import html_to_text, is_markup, plain_title
from mmecinstruct.text.prices import parse_dollars

PREFIX = "amazon18"

# The comparison table of a product page names products by attribute, in a script or by link. A table that was escaped
# once more has character references instead of quotation marks.
_ASIN_IN_HTML = re.compile(
    r"""(?:(?i:asin)(?:["']|&quot;|&\#3[49];)?\s*[=:]\s*(?:["']|&quot;|&\#3[49];)?|/(?:dp|gp/product|gp/aw/d|ASIN)/)"""
    r"""([A-Z0-9]{10})(?![A-Za-z0-9])"""
)
# The same pattern as two, for ASCII texts: each begins with literal characters, which makes the search three times as
# fast. The first is for text in lower case; its lookahead consumes nothing.
_ATTRIBUTE = re.compile(
    r"""asin(?:["']|&quot;|&\#3[49];)?\s*[=:]\s*(?:["']|&quot;|&\#3[49];)?(?=[a-z0-9]{10}(?![a-z0-9]))"""
)
_LINK = re.compile(r"/(?:dp|gp/product|gp/aw/d|ASIN)/(?=[A-Z0-9]{10}(?![A-Za-z0-9]))")
_ASIN_LENGTH = 10


class MetadataLine(msgspec.Struct, gc=False):
    """The fields of a metadata line that are read; the others are skipped while decoding."""

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


class ReviewLine(msgspec.Struct, gc=False):
    """The fields of a review line that are read."""

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
    lines = read_json_lines(file.path, MetadataLine, part=file.part)
    builders = {"products": products_table, "relations": _relations_table}
    return parse_records(lines, parse_product, ("products", "relations"), file.origin, builders)


def parse_reviews(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the reviews of a review file."""
    lists = read_json_lists(file.path, ReviewLine, part=file.part)
    return parse_lists(lists, _plain_reviews, parse_review, "reviews", file.origin)


def parse_ratings(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the ratings of a CSV file without header as reviews without text."""
    return parse_records(_rating_cells(file), parse_rating, ("reviews",), file.origin)


def product_id(asin: str) -> str:
    """Return the id of the product with an ASIN."""
    return f"{PREFIX}:{asin}"


def review_id(asin: str, reviewer: str, time: str, content: int) -> str:
    """Return the id of a review: its time may be a day, on which a user writes two reviews of one product.

    Args:
        asin: The product.
        reviewer: The user.
        time: The time as the publisher has it.
        content: The `content_hash` of stars, title and text.
    """
    return f"{PREFIX}:{asin}:{reviewer}:{time}-{content}"


def parse_product(line: MetadataLine, _number: int, rows: Rows) -> RowError | None:
    """Append a product, its description and features uncleaned, and its relations.

    Reasons: missing_id, missing_title, title_not_text.
    """
    asin = text_value(line.asin)
    if not asin:
        return RowError("missing_id", f"asin is {shown(line.asin)}")
    record_id = product_id(asin)
    title = plain_title(line.title) if isinstance(line.title, str) else ""
    if not title:
        return RowError("missing_title", "the title is empty", record_id)
    if is_markup(title):
        return RowError("title_not_text", title, record_id)
    path = _category_path(line)
    price = parse_dollars(line.price)
    rows["products"].append(
        (
            record_id,
            PREFIX,
            title,
            clean_brand(line.brand),
            path[0] if path else None,
            path,
            line.description,
            line.feature,
            price,
            None if price is None else "USD",
            None,
            image_urls(line.imageURLHighRes, line.imageURL, line.image, line.imUrl),
            None,
        )
    )
    related: dict[str, Any] = line.related if isinstance(line.related, dict) else {}
    for linked_asins, relation in (
        (line.also_buy or related.get("also_bought"), "also_bought"),
        (line.also_view or related.get("also_viewed"), "also_viewed"),
        (_asins_in_html(line.similar_item) if line.similar_item else None, "similar"),
    ):
        if linked_asins and (linked := _linked(linked_asins, asin)):
            rows["relations"].append((record_id, linked, relation))
    return None


def products_table(rows: list[tuple[Any, ...]], found: pa.StringArray) -> pa.Table:
    """Return a table of products; descriptions and features are cleaned here, a column at a time.

    Args:
        rows: Tuples in the order of `PRODUCTS`, with descriptions and features as the publisher has them.
        found: The origins of the rows.
    """
    schema = without_origin(PRODUCTS)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    made = {"description": description_column, "features": feature_column}
    arrays = [
        made[field.name](column) if field.name in made else pa.array(column, type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays([*arrays, found], schema=PRODUCTS)


def _linked(asins: object, own: str) -> str:
    """Return the other products that a field names, each once, one a line.

    One text per product instead of many short ones, which would fall out of the CPU caches before they are a table.
    """
    if not isinstance(asins, list):
        return ""
    try:
        linked = dict.fromkeys(asins)
        linked.pop("", None)
        linked.pop(own, None)
        lines = "\n".join(linked)
    except TypeError:  # not all are texts
        return _linked([asin for asin in asins if isinstance(asin, str)], own)
    if lines.count("\n") >= len(linked) > 0:
        return _linked([asin for asin in linked if "\n" not in asin], own)
    return lines


def _relations_table(rows: list[tuple[Any, ...]], found: pa.StringArray) -> pa.Table:
    """Return the relations of (product, lines of linked products, relation), a row for each linked product."""
    products, linked, relations = zip(*rows, strict=True) if rows else ((), (), ())
    lists = pc.split_pattern(pa.array(linked, type=pa.string()), "\n")
    parents = pc.list_parent_indices(lists)
    return pa.Table.from_arrays(
        [
            pa.array(products, type=pa.string()).take(parents),
            pc.binary_join_element_wise(f"{PREFIX}:", pc.list_flatten(lists), ""),
            pa.array(relations, type=pa.string()).take(parents),
            found.take(parents),
        ],
        schema=RELATIONS,
    )


def _category_path(line: MetadataLine) -> list[str]:
    path = line.category
    if not path and isinstance(line.categories, list) and line.categories:
        path = line.categories[0]
    names = clean_category_path(path) if isinstance(path, list) else []
    return names or clean_category_path([line.main_cat])


def _asins_in_html(similar_item: object) -> list[str]:
    if not isinstance(similar_item, str):
        return []
    if not similar_item.isascii():  # lower case may be longer
        return _ASIN_IN_HTML.findall(similar_item)
    spans = [match.span() for match in _LINK.finditer(similar_item)]
    for match in _ATTRIBUTE.finditer(similar_item.lower()):
        asin = similar_item[match.end() : match.end() + _ASIN_LENGTH]
        if asin == asin.upper():
            spans.append(match.span())
    spans.sort()
    asins, free = [], 0
    for begin, end in spans:
        if begin >= free:
            free = end + _ASIN_LENGTH
            asins.append(similar_item[end:free])
    return asins


def parse_review(line: ReviewLine, number: int, rows: Rows) -> RowError | None:
    """Append a review, with or without text and time; reasons: missing_id, bad_rating."""
    asin, reviewer = text_value(line.asin), text_value(line.reviewerID)
    if not asin:
        return RowError("missing_id", f"asin is {shown(line.asin)}")
    if not reviewer:
        return RowError("missing_id", f"reviewerID is {shown(line.reviewerID)}", product_id(asin))
    rating = rating_value(line.overall)
    content = content_hash(rating, line.summary, line.reviewText)
    record_id = review_id(asin, reviewer, text_value(line.unixReviewTime), content)
    if rating is None:
        return RowError("bad_rating", f"overall is {shown(line.overall)}, not 1 to 5", record_id)
    timestamp = utc_seconds(line.unixReviewTime)
    if timestamp is None and line.unixReviewTime is not None:
        rows.lost("times", line.unixReviewTime, number)
    rows["reviews"].append(
        (
            record_id,
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


def _plain_reviews(lines: Sequence[ReviewLine]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return (the reviews whose ids, rating and time have the usual types and need no cleaning, a mask of them)."""
    asins, plain = plain_ids([line.asin for line in lines])
    reviewers, also = plain_ids([line.reviewerID for line in lines])
    plain &= also
    ratings = usual_ratings([line.overall for line in lines])
    times = usual_seconds([line.unixReviewTime for line in lines])
    plain &= (ratings > 0) & (times >= 0)
    times = pa.array(times)
    titles = [line.summary if type(line.summary) is str else "" for line in lines]
    texts = [line.reviewText if type(line.reviewText) is str else "" for line in lines]
    contents = pa.array(content_hashes(ratings.tolist(), titles, texts), pa.uint32()).cast(pa.string())
    table = pa.Table.from_arrays(
        [
            pc.binary_join_element_wise(
                pc.binary_join_element_wise(PREFIX, asins, reviewers, times.cast(pa.string()), ":"),
                contents,
                "-",
            ),
            pc.binary_join_element_wise(PREFIX, asins, ":"),
            pc.binary_join_element_wise(PREFIX, reviewers, ":"),
            pa.array(ratings),
            cleaned_texts(titles),
            cleaned_texts(texts),
            times,
            pa.array([line.verified if type(line.verified) is bool else None for line in lines], pa.bool_()),
            pa.array([image_urls(line.image) if line.image else [] for line in lines], STRINGS),
        ],
        schema=without_origin(REVIEWS),
    )
    return (table if plain.all() else table.filter(pa.array(plain))), plain


def _rating_cells(file: RawFile) -> Iterator[tuple[int, list[str] | RowError]]:
    """Yield the cells of each line. No cell holds a line break, so a stray quote spoils its own line only."""
    waiting = 0
    for number, line in read_lines(file.path, part=file.part):
        waiting += len(line)
        if waiting > BATCH_BYTES:
            yield number, FLUSH
            waiting = 0
        if isinstance(line, RowError):
            yield number, line
        elif line and not line.isspace():
            try:
                text = line.decode()
                yield number, next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
            except UnicodeDecodeError as error:
                yield number, RowError("not_utf8", str(error))
            except csv.Error as error:
                yield number, RowError("bad_row", str(error))


def parse_rating(cells: list[str], number: int, rows: Rows) -> RowError | None:
    """Append a rating as a review without text; reasons: bad_row, missing_id, bad_rating.

    The files of 2018 name the product first, those of 2014 the user. The cells themselves decide which is which.
    """
    if len(cells) != 4:
        return RowError("bad_row", f"{len(cells)} cells where a rating has four: product, user, rating, time")
    first, second, stars, time = map(str.strip, cells)
    if not first or not second:
        return RowError("missing_id", "the first or the second cell is empty")
    if _is_asin(first, second):
        asin, reviewer = first, second
    elif _is_asin(second, first):
        asin, reviewer = second, first
    else:
        return RowError("missing_id", "neither of the first two cells is a product's id of ten characters")
    rating = rating_value(stars)
    record_id = review_id(asin, reviewer, time, content_hash(rating, "", ""))
    if rating is None:
        return RowError("bad_rating", f"the rating is {shown(stars)}, not 1 to 5", record_id)
    timestamp = utc_seconds(time)
    if timestamp is None and time:
        rows.lost("times", time, number)
    rows["reviews"].append(
        (record_id, product_id(asin), f"{PREFIX}:{reviewer}", rating, "", "", timestamp, None, [])
    )
    return None


def _is_asin(cell: str, other: str) -> bool:
    """Return whether a cell is the product's id and not the user's.

    An ASIN has ten characters and begins with B or, for books, a digit. A user's id begins with A and is longer, with
    rare exceptions. Where both cells have ten characters, the first character decides.
    """
    return len(cell) == 10 and (len(other) != 10 or cell[0] in "B0123456789")
