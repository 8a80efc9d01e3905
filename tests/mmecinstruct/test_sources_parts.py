"""A file in parts gives the rows and the line numbers of the file in one piece."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.parquet import TableWriters, connect, read_tables, write_query
from mmecinstruct.pipeline import inputs
from mmecinstruct.pipeline.work import file_stamp, parse_raw_file
from mmecinstruct.recipe.sources import AmazonMetadata, AmazonQaSource, CatalogSource, MaveSource, Source
from mmecinstruct.sources import RawFile
from mmecinstruct.sources.parts import file_parts, part_file
from mmecinstruct.tables import RAW_TABLES, REJECTIONS

QUESTIONS = AmazonQaSource(kind="amazonqa", path="q.jsonl")


def question(number: int) -> str:
    text = "Does it fit? " * (number % 7) if number % 5 else ""
    return json.dumps(
        {"qid": number, "asin": f"B{number:09}", "questionText": text, "is_answerable": number % 2}
    )


def write(path: Path, lines: list[str], end: str = "\n") -> RawFile:
    path.write_text("\n".join(lines) + end)
    return RawFile("questions", path, path.name)


LINES = {
    "with blank lines, broken ones and one longer than a part": [
        *(question(n) if n % 11 else ("" if n % 2 else "{broken") for n in range(60)),
        json.dumps({"qid": 1000, "asin": "B", "questionText": "x" * 3000, "is_answerable": 1}),
        *(question(n) for n in range(60, 90)),
    ],
    "of one line": [question(1)],
    "without a line": [""],
}


@pytest.mark.parametrize("end", ["\n", "", "\n\n\n"])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("part_bytes", [1, 100, 333, 1000, 10**6])
def test_parts_are_the_file(tmp_path: Path, lines: list[str], end: str, part_bytes: int) -> None:
    file = write(tmp_path / "q.jsonl", lines, end)
    content = file.path.read_bytes()
    parts = file_parts(QUESTIONS, file, part_bytes)
    if len(content) <= part_bytes:
        assert parts == []
        return
    assert b"".join(content[part.start : part.stop] for part in parts) == content
    for part in parts:
        assert part.lines_before == content[: part.start].count(b"\n")
        assert part.start == 0 or content[part.start - 1 : part.start] == b"\n"
        with part_file(file, part, tmp_path) as piece:
            assert piece.path.read_bytes() == content[part.start : part.stop]
        assert not piece.path.exists()


def parsed(source: Source, file: RawFile, folder: Path) -> tuple[dict[str, pa.Table], pa.Table, int]:
    shards = inputs._parse_shards(source, [file], [file_stamp(file.path)])
    records = 0
    for shard in shards:
        (folder / shard.key).mkdir(parents=True)
        records += parse_raw_file(shard.payload, folder / shard.key).records
    assert sorted(shard.key for shard in shards) == [shard.key for shard in shards]
    tables = {
        name: read_tables(sorted(folder.glob(f"*/{name}.parquet")), schema)
        for name, schema in RAW_TABLES.items()
    }
    return tables, read_tables(sorted(folder.glob("*/rejections.parquet")), REJECTIONS), records


def test_rows_and_rejections_are_those_of_the_file_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "q.jsonl", next(iter(LINES.values())))
    whole = parsed(QUESTIONS, file, tmp_path / "whole")
    assert len(list((tmp_path / "whole").iterdir())) == 1
    assert {"q.jsonl:1", "q.jsonl:23", "q.jsonl:45"} <= set(whole[1]["origin"].to_pylist())
    monkeypatch.setattr("mmecinstruct.sources.parts.file_parts.__defaults__", (700,))
    pieces = parsed(QUESTIONS, file, tmp_path / "pieces")
    assert len(list((tmp_path / "pieces").iterdir())) > 5
    assert pieces == whole


def test_what_cannot_be_entered_in_the_middle_or_needs_its_lines_stays_whole(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.csv"):
        (tmp_path / name).write_bytes(b"x\n" * 50)
        assert file_parts(QUESTIONS, RawFile("r", tmp_path / name, name), 10) == []
    (tmp_path / "p.jsonl").write_bytes(b"{}\n" * 50)
    file = RawFile("products", tmp_path / "p.jsonl", "p.jsonl")
    shop = CatalogSource.model_validate(
        {"kind": "catalog", "products": {"path": "p.jsonl", "id": "i", "title": "t"}}
    )
    assert file_parts(shop, file, 10) == []
    for source in (AmazonMetadata(kind="amazon18_metadata", path="x"), MaveSource(kind="mave", path="x")):
        assert len(file_parts(source, file, 10)) > 5


def test_the_largest_file_weighs_most(tmp_path: Path) -> None:
    small, large = write(tmp_path / "a.jsonl", ["{}"]), write(tmp_path / "b.jsonl", ["{}"] * 9)
    packed = RawFile("questions", tmp_path / "c.jsonl.gz", "c.jsonl.gz")
    packed.path.write_bytes(b"x" * 20)
    stamps = [file_stamp(file.path) for file in (small, large, packed)]
    weights = [shard.weight for shard in inputs._parse_shards(QUESTIONS, [small, large, packed], stamps)]
    assert weights == [3, 27, 20 * inputs.PACKED_WEIGHT]


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path: Path) -> None:
    narrow = pa.table({"number": range(5_000)})
    wide = pa.table({"text": ["x" * 1_000] * 5_000})
    with TableWriters(tmp_path) as writers:
        for _ in range(50):
            writers.append(narrow, "narrow.parquet")
        for _ in range(10):
            writers.append(wide, "wide.parquet")
        writers.append(wide.slice(0, 0), "empty.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["narrow.parquet", "wide.parquet"]
    groups = {}
    for name in ("narrow", "wide"):
        metadata = pq.read_metadata(tmp_path / f"{name}.parquet")
        groups[name] = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert groups == {"narrow": [100_000, 100_000, 50_000], "wide": [20_000, 20_000, 10_000]}


def test_a_query_is_written_in_groups_that_do_not_depend_on_how_it_is_read(tmp_path: Path) -> None:
    schema = pa.schema([("i", pa.int64()), ("text", pa.string())])
    for threads, name in ((1, "one"), (2, "two")):
        with connect(threads=threads) as connection:
            sql = "SELECT 'text ' || i AS text, i FROM range(70000) t(i) WHERE i % 3 = 0 ORDER BY i"
            assert write_query(connection, sql, schema, tmp_path / name, group=10_000) == 23_334
            assert write_query(connection, f"FROM ({sql}) WHERE i < 0", schema, tmp_path / "none") == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert not (tmp_path / "none").exists()
    metadata = pq.read_metadata(tmp_path / "one")
    assert [metadata.row_group(g).num_rows for g in range(3)] == [10_000, 10_000, 3_334]
    assert pq.read_table(tmp_path / "one")["i"].to_pylist() == list(range(0, 70_000, 3))
