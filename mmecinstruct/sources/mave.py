"""MAVE labels: the fine-grained category of Amazon 2018 products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mmecinstruct.sources import amazon2018
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.text.normalise import html_to_text


class LabelLine(msgspec.Struct, gc=False):
    """The fields of a label line that are read; attributes and their spans are skipped."""

    id: Any = None
    category: Any = None


def parse_labels(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the category labels of a file."""
    return parse_records(
        read_json_lines(file.path, LabelLine, part=file.part), parse_label, ("category_labels",), file.origin
    )


def parse_label(line: LabelLine, _number: int, rows: Rows) -> RowError | None:
    """Append a label; reasons: missing_id, missing_category."""
    asin = text_value(line.id)
    if not asin:
        return RowError("missing_id", f"id is {shown(line.id)}")
    record_id = amazon2018.product_id(asin)
    category = html_to_text(line.category) if isinstance(line.category, str) else ""
    if not category:
        return RowError("missing_category", f"category is {shown(line.category)}", record_id)
    rows["category_labels"].append((record_id, category, []))
    return None
