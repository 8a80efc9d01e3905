"""Refuse records whose texts are too long to be published, and cut those that are never published.

One text of megabytes would make a shard that no viewer opens, and every later stage would carry it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources.readers.batches import ID_LENGTH, STAGE, ParsedBatch

# Columns whose texts may be published, of the tables that may have one row per kept record. The first is its id.
_PUBLISHED = {
    "products": ("product_id", "title", "brand", "category_path", "color", "currency", "group_id"),
    "reviews": ("review_id", "product_id", "user_id", "title", "text"),
    "judgements": ("query_id", "query", "product_id"),
    "questions": ("question_id", "product_id", "category", "question", "document"),
    "query_kinds": ("query_id", "kind"),
    "category_labels": ("product_id", "fine_category", "category_path"),
}
# Columns of products that no task shows.
_CUT = ("description", "features")
# Tables with further rows of a product, which their first column names.
_OF_PRODUCTS = ("relations", "category_labels", "product_images")


def cap_texts(batches: Iterator[ParsedBatch], origin: str, max_text: int) -> Iterator[ParsedBatch]:
    """Yield batches without the records that have a longer text (`text_too_long`); descriptions are cut.

    Args:
        batches: The batches of a file.
        origin: The file's origin, for the rejections.
        max_text: The largest number of characters of one text.
    """
    for batch in batches:
        if "products" in batch.tables:
            batch = _cut(batch, max_text)
        for name, columns in _PUBLISHED.items():
            # Products come first: other tables of their files have rows of the products that are kept.
            if name in batch.tables and name == next(one for one in _PUBLISHED if one in batch.tables):
                for column in columns:
                    batch = _without(batch, name, column, origin, max_text)
        yield batch


def _without(batch: ParsedBatch, name: str, column: str, origin: str, max_text: int) -> ParsedBatch:
    """Return a batch without the records whose text in a column is too long, and with a rejection for each."""
    table = batch.tables[name]
    if table.num_rows != len(batch.lines):
        # Not every record has a row: pages of images alone.
        return batch
    lengths = _longest(table[column], max_text)
    wrong = lengths > max_text
    if not wrong.any():
        return batch
    ids = table.column(0).to_pylist()
    rejections = [
        Rejection(
            STAGE,
            "text_too_long",
            f"{column} has {lengths[row]} characters, at most {max_text} (curate.max_text)",
            f"{origin}:{batch.lines[row]}",
            ids[row][:ID_LENGTH],
        )
        for row in np.flatnonzero(wrong).tolist()
    ]
    tables = {**batch.tables, name: table.filter(pa.array(~wrong))}
    gone = pa.array([ids[row] for row in np.flatnonzero(wrong).tolist()], pa.string())
    for other in set(_OF_PRODUCTS) & set(tables) - {name}:
        of_them = pc.is_in(tables[other].column(0), value_set=gone)
        tables[other] = tables[other].filter(pc.invert(of_them))
    lines = [line for line, is_wrong in zip(batch.lines, wrong.tolist(), strict=True) if not is_wrong]
    kept = batch.kept - len(rejections)
    in_order = sorted([*batch.rejections, *rejections], key=_line)
    return ParsedBatch(tables, in_order, batch.records, kept, lines, batch.unread)


def _line(rejection: Rejection) -> int:
    return int(rejection.origin.rpartition(":")[2])


def _longest(column: pa.ChunkedArray, max_text: int) -> NDArray[np.int64]:
    """Return of each row the characters of its longest text; zeros where all texts are short."""
    array = column.combine_chunks()
    found = np.zeros(len(array), np.int64)
    texts = array.flatten() if pa.types.is_list(array.type) else array
    # A text has at least as many bytes as characters.
    most_bytes = pc.max(pc.binary_length(texts)).as_py()
    if most_bytes is None or most_bytes <= max_text:
        return found
    lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if texts is array:
        return lengths
    np.maximum.at(found, pc.list_parent_indices(array).to_numpy(), lengths)
    return found


def _cut(batch: ParsedBatch, max_text: int) -> ParsedBatch:
    table = batch.tables["products"]
    for column in _CUT:
        array = table[column]
        if array.nbytes <= max_text:
            continue
        index, field = table.schema.get_field_index(column), table.schema.field(column)
        if pa.types.is_list(field.type):
            values = [_first(value, max_text) for value in array.to_pylist()]
            table = table.set_column(index, field, pa.array(values, field.type))
        elif (_longest(array, max_text) > max_text).any():
            table = table.set_column(index, field, pc.utf8_slice_codeunits(array, 0, max_text))
    return replace(batch, tables={**batch.tables, "products": table})


def _first(texts: list[str] | None, max_text: int) -> list[str] | None:
    """Return the first texts of a list that have `max_text` characters together."""
    if texts is None or sum(map(len, texts)) <= max_text:
        return texts
    kept: list[str] = []
    left = max_text
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        kept.append(text)
    return kept
