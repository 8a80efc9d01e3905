"""Checks of every parser's output, and the number of Hypothesis examples.

The examples are the same in every run; MMEC_FUZZ_EXAMPLES asks for so many others of each test.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings

from mmecinstruct.schemas.rejections import DETAIL_LENGTH, Rejection, rejections_table
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.sources import Source, parse_file, source_files
from mmecinstruct.text.normalise import html_to_text, is_markup, normalise_text

Rows = dict[str, list[dict[str, Any]]]
_PUBLISHED = {
    *("title", "brand", "category", "category_path", "fine_category", "description", "features", "color"),
    *("currency", "text", "query", "question", "document", "kind"),
}
ReadSoundly = Callable[..., tuple[Rows, list[Rejection], int]]

wanted = os.environ.get("MMEC_FUZZ_EXAMPLES")
settings.register_profile(
    "bounded",
    max_examples=int(wanted or 25),
    derandomize=wanted is None,
    database=None,
    deadline=None,
    print_blob=wanted is not None,
    # The files of one example replace those of the one before.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("bounded")


@pytest.fixture
def read_soundly() -> ReadSoundly:
    return _read_soundly


def _read_soundly(source: Source, root: Path, role: str | None = None) -> tuple[Rows, list[Rejection], int]:
    """Parse a source's first file (of a role) as a build does; return rows by table, rejections and records.

    Fails where a batch does not add up, cannot be stored, or holds what no later stage may meet.
    """
    file = next(file for file in source_files(source, root) if role in (None, file.role))
    rows: Rows = {}
    rejections: list[Rejection] = []
    records = 0
    for batch in parse_file(source, file):
        assert batch.records == batch.kept + len(batch.rejections)
        records += batch.records
        for name, table in batch.tables.items():
            table.validate(full=True)
            assert table.schema == RAW_TABLES[name]
            pq.write_table(table, pa.BufferOutputStream())
            for row in table.to_pylist():
                _check_row(name, row)
                rows.setdefault(name, []).append(row)
            if name in ("products", "reviews", "questions", "judgements", "query_kinds"):
                assert table.num_rows == batch.kept
        for rejection in batch.rejections:
            assert rejection.origin.startswith(f"{file.origin}:")
            assert len(rejection.detail) <= DETAIL_LENGTH
        rejections += batch.rejections
        rejections_table(batch.rejections).validate(full=True)
    return rows, rejections, records


def _check_row(name: str, row: dict[str, Any]) -> None:
    for key, value in row.items():
        if key.endswith("_id") and value is not None:
            prefix, _, rest = value.partition(":")
            assert prefix
            assert rest
    for column, value in row.items():
        # Texts that may be published. Titles with markup are rejected.
        if column in _PUBLISHED:
            for text in value if isinstance(value, list) else [value]:
                assert text is None or text == html_to_text(text), column
    match name:
        case "products":
            assert row["title"]
            assert row["title"] == normalise_text(row["title"])
            assert not is_markup(row["title"])
            assert row["price"] is None or 0 <= row["price"] < math.inf
            assert row["price"] is not None or row["currency"] is None
            assert row["category"] == (row["category_path"][0] if row["category_path"] else None)
            assert all(row["category_path"])
            assert all(row["features"])
            assert row["brand"] != ""
            assert row["color"] != ""
            assert len(set(row["image_urls"])) == len(row["image_urls"])
        case "reviews":
            assert row["rating"] in (1, 2, 3, 4, 5)
            assert row["timestamp"] is None or abs(row["timestamp"]) < 10**11
            assert row["text"] == normalise_text(row["text"])
        case "questions":
            assert row["question"]
            assert all(row["document"])
        case "judgements":
            assert row["query"]
            assert row["label"] in ("E", "S", "C", "I")
        case "relations":
            assert row["product_a"] != row["product_b"]
            assert row["relation"] in ("also_bought", "also_viewed", "similar")
        case "product_images":
            assert row["image_url"].startswith(("https://", "http://"))
        case "category_labels":
            assert row["fine_category"] or row["category_path"]
