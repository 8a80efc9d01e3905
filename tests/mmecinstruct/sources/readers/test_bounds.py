"""No table takes the memory: what is too long is refused as a row, and what is read is read in small batches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import Source, parse_file, source_files
from mmecinstruct.sources.readers import parquet
from mmecinstruct.sources.readers.batches import FLUSH
from mmecinstruct.sources.readers.parquet import read_parquet
from mmecinstruct.sources.readers.parquet_pages import PagesError, read_pages
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES
from mmecinstruct.sources.settings import CatalogSource

MEGABYTE = 1_000_000
TABLES = {
    "products": {"id": "id", "title": "title", "description": "description", "features": "features"},
    "reviews": {"product": "id", "rating": "rating", "text": "text"},
    "questions": {
        "product": "id",
        "question": "question",
        "document": "document",
        "answerable": "answerable",
    },
    "judgements": {"product": "id", "query": "query", "label": "label"},
}


def catalogue(role: str, name: str, *columns: str) -> Source:
    mapping = {field: column for field, column in TABLES[role].items() if not columns or field in columns}
    tables: dict[str, Any] = {"products": {"path": "none.csv", "id": "id", "title": "title"}}
    return CatalogSource(kind="catalog", **{**tables, role: {"path": name, **mapping}})


def parsed(
    source: Source, root: Path, role: str, **options: Any
) -> tuple[list[dict[str, Any]], list[Rejection]]:
    (root / "none.csv").touch()
    (file,) = [file for file in source_files(source, root) if file.role == role]
    rows, rejections, records = [], [], 0
    for batch in parse_file(source, file, **options):
        rows += batch.tables[role].to_pylist()
        rejections += batch.rejections
        records += batch.records
    assert records == len(rows) + len(rejections)
    return rows, rejections


MEASURE = r"""
import re, sys
from pathlib import Path
from mmecinstruct.sources import RawFile, parse_file
from mmecinstruct.sources.settings import CatalogSource
source = CatalogSource(kind="catalog", products={"path": "x", "id": "id", "title": "title"})
records = kept = 0
for batch in parse_file(source, RawFile("products", Path(sys.argv[1]), "x")):
    records, kept = records + batch.records, kept + batch.kept
# Not ru_maxrss, which begins with that of the process that started this one.
print(records, kept, int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1000)
"""


def measured(path: Path, limit: int = 500) -> tuple[int, int]:
    """Parse a table of products in a process of its own; return (records, kept) where it needs under `limit` MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    records, kept, megabytes = map(int, done.stdout.split())
    assert megabytes < limit, f"{megabytes} MB"
    return records, kept


def test_a_dictionary_is_not_expanded(tmp_path: Path) -> None:
    """Twenty thousand rows with one text of 5 MB: 100 GB, from a file of some kilobytes."""
    count = 20_000
    titles = pa.DictionaryArray.from_arrays(
        pa.array([0, 1] * (count // 2), pa.int32()), pa.array(["x" * 5 * MEGABYTE, "Mug"])
    )
    ids = pa.array([f"P{number}" for number in range(count)])
    path = tmp_path / "products.parquet"
    pq.write_table(pa.table({"id": ids, "title": titles}), path, compression="zstd")
    assert path.stat().st_size < 200_000
    assert measured(path) == (count, count // 2)


def test_texts_that_share_their_beginnings_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    titles = ["z" * 900_000 + str(number) for number in range(200)]
    path = tmp_path / "products.parquet"
    pq.write_table(
        pa.table({"id": [f"P{number}" for number in range(200)], "title": titles}),
        path,
        use_dictionary=False,
        column_encoding={"id": "PLAIN", "title": "DELTA_BYTE_ARRAY"},
    )
    assert path.stat().st_size < 2 * MEGABYTE
    assert measured(path) == (200, 0)


def test_a_page_that_takes_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    schema = pa.schema([("id", pa.string()), ("title", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(pa.table({"id": ["P0", "P1"], "title": ["Mug", "Lamp"]}, schema))
        writer.write_table(pa.table({"id": ["P2"], "title": ["y" * 250 * MEGABYTE]}, schema))
        writer.write_table(pa.table({"id": ["P3"], "title": ["Rug"]}, schema))
    assert measured(path) == (4, 3)
    rows, rejections = parsed(catalogue("products", path.name, "id", "title"), tmp_path, "products")
    assert [row["title"] for row in rows] == ["Mug", "Lamp", "Rug"]
    assert [(one.reason, one.origin) for one in rejections] == [("row_too_long", "products.parquet:3")]


def test_a_row_group_of_large_pages_is_read(tmp_path: Path) -> None:
    """DuckDB writes one page for a column of 122,880 rows."""
    path = tmp_path / "products.parquet"
    titles = ["t" * 7_000] * 20_000
    table = pa.table({"id": list(map(str, range(20_000))), "title": titles})
    pq.write_table(table, path, use_dictionary=False, data_page_size=1_000_000_000)
    assert measured(path, limit=800) == (20_000, 20_000)


def test_a_long_title_costs_its_own_row(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    titles = ["Mug"] * 50 + ["y" * 200 * MEGABYTE] + ["Lamp"] * 49
    pq.write_table(pa.table({"id": list(map(str, range(100))), "title": titles}), path, compression="zstd")
    assert measured(path, limit=1000) == (100, 99)


def test_cells_have_the_limit_of_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    images = [{"bytes": bytes(MEGABYTE * 3 // 2), "path": f"{number}.jpg"} for number in range(30)]
    texts = ["x" * 9 * MEGABYTE if number == 3 else "y" for number in range(30)]
    pq.write_table(pa.table({"id": list(map(str, range(30))), "image": images, "text": texts}), path)
    found = [row for _, row in read_parquet(path, {"image": "image", "text": "text"}) if row is not FLUSH]
    assert [row["text"] for row in found if isinstance(row, dict)] == texts


def test_a_cell_that_is_too_long_is_refused_with_its_row(tmp_path: Path) -> None:
    titles = ["Mug", "y" * (MAX_LINE_BYTES + 1), "Lamp"]
    features = [["a"], ["b"], ["c", "y" * (MAX_LINE_BYTES + 1)]]
    path = tmp_path / "products.parquet"
    pq.write_table(pa.table({"id": ["A", "B", "C"], "title": titles, "features": features}), path)
    rows, rejections = parsed(
        catalogue("products", path.name, "id", "title", "features"), tmp_path, "products"
    )
    assert [row["product_id"] for row in rows] == ["shop:A"]
    assert [(one.reason, one.origin) for one in rejections] == [
        ("row_too_long", "products.parquet:2"),
        ("row_too_long", "products.parquet:3"),
    ]
    assert "'title'" in rejections[0].detail
    assert "'features'" in rejections[1].detail


def test_lists_of_too_many_values_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_VALUES", 1000)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["A", "B"], "features": [["x"] * 2000, ["y"]]}), path)
    found = [row for _, row in read_parquet(path, {"id": "id", "features": "features"})]
    assert [getattr(row, "reason", None) for row in found] == ["row_too_long"] * 2
    assert [row for _, row in read_parquet(path, {"id": "id"})] == [{"id": "A"}, {"id": "B"}]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_the_headers_of_pages_are_read(
    tmp_path: Path, version: str, compression: str, dictionary: bool
) -> None:
    path = tmp_path / "a.parquet"
    texts = [None if number % 7 == 0 else f"text {number % 50}" * 9 for number in range(5_000)]
    lists = [[f"{number % 11}"] * (number % 4) for number in range(5_000)]
    table = pa.table({"text": texts, "list": lists, "number": range(5_000)})
    pq.write_table(
        table,
        path,
        compression=compression,
        use_dictionary=dictionary,
        data_page_version=version,
        data_page_size=4096,
        row_group_size=2_000,
        write_statistics=True,
    )
    metadata = pq.read_metadata(path)
    with path.open("rb") as stream:
        for group in range(metadata.num_row_groups):
            for index in range(3):
                chunk = metadata.row_group(group).column(index)
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                pages = list(read_pages(stream, start, chunk.total_compressed_size))
                assert sum(page.values for page in pages if not page.is_dictionary) == chunk.num_values
                assert 0 < sum(page.size for page in pages) <= chunk.total_uncompressed_size
                assert any(page.is_dictionary for page in pages) == dictionary
                assert any(page.uses_dictionary for page in pages) == dictionary
    found = [row for _, row in read_parquet(path, {name: name for name in table.column_names})]
    assert found == table.to_pylist()


def test_bytes_that_are_no_pages_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["A" * 100] * 100}), path, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with path.open("rb") as stream, pytest.raises(PagesError):
        list(read_pages(stream, 4, 5000))
    with pytest.raises(SourceError, match="not readable as Parquet"):
        list(read_parquet(path, {"id": "id"}))


def test_long_records_end_a_batch_early(tmp_path: Path) -> None:
    line = json.dumps({"id": "A", "title": "Mug", "description": "x" * 2 * MEGABYTE})
    path = tmp_path / "products.jsonl"
    path.write_text("\n".join([line] * 40), encoding="utf-8")
    (tmp_path / "products.csv").write_text("id,title,description\n" + f"A,Mug,{'x' * 2 * MEGABYTE}\n" * 40)
    pq.write_table(pa.table({"id": ["A"] * 40, "title": ["m" * 900_000] * 40}), tmp_path / "products.parquet")
    for name in ("products.jsonl", "products.csv", "products.parquet"):
        source = catalogue("products", name, "id", "title", *(() if "parquet" in name else ("description",)))
        (file,) = source_files(source, tmp_path)
        sizes = [batch.records for batch in parse_file(source, file)]
        assert sum(sizes) == 40
        assert max(sizes) < 40, name
    assert FLUSH.reason == "flush"


class TestTextsAboveTheCap:
    """`curate.max_text`: a record that may be published is refused, a description is cut."""

    def refused(
        self, root: Path, role: str, rows: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[Rejection]]:
        path = root / f"{role}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return parsed(catalogue(role, path.name), root, role, max_text=100)

    def test_of_products(self, tmp_path: Path) -> None:
        long = "é" * 101
        rows, rejections = self.refused(
            tmp_path,
            "products",
            [
                {"id": "A", "title": "é" * 100, "description": long, "features": ["f" * 60, "g" * 60, "h"]},
                {"id": "B", "title": long},
                {"id": "", "title": "no id"},
                {"id": "C", "title": "Mug"},
            ],
        )
        assert [row["product_id"] for row in rows] == ["shop:A", "shop:C"]
        assert rows[0]["description"] == "é" * 100
        assert rows[0]["features"] == ["f" * 60]
        assert Counter((one.reason, one.origin, one.record_id) for one in rejections) == Counter(
            [("missing_id", "products.jsonl:3", ""), ("text_too_long", "products.jsonl:2", "shop:B")]
        )
        detail = next(one.detail for one in rejections if one.reason == "text_too_long")
        assert detail == "title has 101 characters, at most 100 (curate.max_text)"

    def test_of_reviews_questions_and_queries(self, tmp_path: Path) -> None:
        long = "long " * 30
        for role, good, bad in (
            ("reviews", {"id": "A", "rating": 5, "text": "good"}, {"text": long}),
            (
                "questions",
                {"id": "A", "question": "q?", "document": "a|b", "answerable": 1},
                {"document": f"a|{long}"},
            ),
            ("judgements", {"id": "A", "query": "mug", "label": "E"}, {"query": long}),
        ):
            rows, rejections = self.refused(tmp_path, role, [good, {**good, **bad}, good])
            assert len(rows) == 2
            assert [(one.reason, one.origin) for one in rejections] == [("text_too_long", f"{role}.jsonl:2")]
