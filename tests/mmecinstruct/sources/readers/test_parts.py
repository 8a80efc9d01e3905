"""A file in parts gives the rows and the line numbers of the file in one piece."""

from __future__ import annotations

import gc
import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from mmecinstruct.core.duckdb import connect, write_query
from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.parquet import TableWriters, read_tables
from mmecinstruct.engine.stage import Files
from mmecinstruct.schemas.tables import RAW_TABLES, REJECTIONS
from mmecinstruct.sources import RawFile, source_files
from mmecinstruct.sources.readers.batches import FilePart, RowError
from mmecinstruct.sources.readers.parts import UNPACKING, file_parts, packed_weight
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES, read_lines
from mmecinstruct.sources.settings import (
    AmazonMetadata,
    AmazonQaSource,
    CatalogSource,
    MaveSource,
    Source,
    SqidSource,
)
from mmecinstruct.stages.parse import PACKED_WEIGHT, Parse, file_stamp

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
def test_parts_of_plain_text_are_the_file(
    tmp_path: Path, lines: list[str], end: str, part_bytes: int
) -> None:
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
    assert joined(file.path, parts) == list(read_lines(file.path))


def joined(path: Path, parts: list[FilePart], max_bytes: int = MAX_LINE_BYTES) -> list[object]:
    return [line for part in parts for line in read_lines(path, max_bytes, part)]


def pack(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":  # two members, and the second begins within a line
        return gzip.compress(content[:333]) + gzip.compress(content[333:])
    return content if suffix == ".txt" else pa.Codec("zstd").compress(content, asbytes=True)


TEXTS = {
    "with a byte order mark, blank lines, CRLF and a line longer than a part": b"\xef\xbb\xbfone\r\n\n\n"
    + b"".join(b"%d\r\n" % (n**9) for n in range(40))
    + b"x" * 500
    + b"\n\n"
    + b"".join(b"%d\n" % (n**5) for n in range(40)),
    "whose last line has no end": b"a\n" * 99 + b"bcd",
    "of a single line": b"abc" * 99,
    "of line ends": b"\n" * 99,
    "that is empty": b"",
}


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".txt"])
@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_any_cut_gives_the_lines_of_the_file(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(pack(content, suffix))
    for max_bytes in (MAX_LINE_BYTES, 100):
        whole = list(read_lines(path, max_bytes))
        assert len(whole) == content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        for step in (1, 2, 3, 7, 100, 333, len(content) // 2 + 1, len(content) + 1):
            cuts = [*range(0, len(content) + step, step)][: 50 if step < 7 else None]
            parts = [FilePart(start, stop) for start, stop in zip(cuts, [*cuts[1:], None], strict=True)]
            assert joined(path, parts, max_bytes) == whole


@pytest.mark.parametrize("block_bytes", [1, 5, 64])
def test_lines_and_cuts_lie_anywhere_in_the_blocks(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmecinstruct.sources.readers.streams.BLOCK_BYTES", block_bytes)
    test_any_cut_gives_the_lines_of_the_file(tmp_path, next(iter(TEXTS.values()))[:300], ".gz")


@pytest.mark.parametrize(("suffix", "share"), [(".gz", 30), (".gz", 70), (".gz", 99), (".zst", 60)])
def test_one_part_reports_a_truncated_archive(tmp_path: Path, suffix: str, share: int) -> None:
    noise = random.Random(1)
    content = b"".join(b"%0*x\n" % (noise.randrange(20, 90), noise.getrandbits(80)) for _ in range(4_000))
    packed = pa.Codec("zstd").compress(content, asbytes=True) if suffix == ".zst" else gzip.compress(content)
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) * share // 100])
    whole = list(read_lines(path))
    number, row_error = whole[-1]
    assert isinstance(row_error, RowError)
    assert row_error.reason == "truncated_archive"
    broken = sum(len(line) + 1 for _, line in whole[:-1])
    for cut in (1, broken - 1, broken, broken + 1, broken + 10_000):
        parts = [FilePart(0, cut), FilePart(cut, cut + 5), FilePart(cut + 5, None)]
        read = [list(read_lines(path, part=part)) for part in parts]
        assert [line for lines in read for line in lines] == whole
        reporting = [part for part, lines in zip(parts, read, strict=True) if (number, row_error) in lines]
        assert reporting == [next(part for part in parts if part.stop is None or broken < part.stop)]


def test_a_damaged_archive_or_first_line_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    packed = gzip.compress(random.Random(1).randbytes(500_000).replace(b"\n", b"."))
    path.write_bytes(packed[:-9])
    with pytest.raises(SourceError, match="within its first line"):
        list(read_lines(path, part=FilePart(0, 1000)))
    assert list(read_lines(path, part=FilePart(1000, None))) == []
    path.write_bytes(packed[:-8] + b"12345678")
    with pytest.raises(SourceError, match="damaged"):
        joined(path, [FilePart(0, 1000), FilePart(1000, None)])


def stage_over(
    source: Source, files: list[RawFile], size: int | None = None, most_parts: int | None = None
) -> Parse:
    """The stage over raw files. size: of each, instead of what they have."""
    return Parse(
        number=0,
        source=source,
        roles=tuple(file.role for file in files),
        origins=tuple(file.origin for file in files),
        files=Files(tuple(file.path for file in files), {"files": "a"}),
        stamps=tuple((size, 0) if size else file_stamp(file.path) for file in files),
        most_packed_parts=most_parts,
    )


def parsed(source: Source, file: RawFile, folder: Path) -> tuple[dict[str, pa.Table], pa.Table, int]:
    stage = stage_over(source, [file])
    items = stage.items()
    records = 0
    for item in items:
        (folder / item.key).mkdir(parents=True)
        records += stage.work(item, folder / item.key).records
    assert sorted(item.key for item in items) == [item.key for item in items]
    tables = {
        name: read_tables(sorted(folder.glob(f"*/{name}.parquet")), schema)
        for name, schema in RAW_TABLES.items()
    }
    return tables, read_tables(sorted(folder.glob("*/rejections.parquet")), REJECTIONS), records


def test_garbage_of_lines_is_freed_with_their_batch(tmp_path: Path) -> None:
    """Parsing delays garbage collection, and each Python literal with an escape leaves a reference cycle."""
    lines = [
        repr({"qid": n, "asin": "B1", "questionText": "it\\'s", "is_answerable": 1}) for n in range(6_000)
    ]
    file = write(tmp_path / "q.jsonl", [line.replace('"it\\\\\'s"', "'it\\'s'") for line in lines])
    gc.collect()
    gc.disable()
    try:
        tables, _, records = parsed(QUESTIONS, file, tmp_path / "parsed")
        assert gc.collect() < 1_000
    finally:
        gc.enable()
    assert (records, tables["questions"].num_rows) == (6_000, 6_000)
    assert set(tables["questions"]["question"].to_pylist()) == {"it's"}


def cut_into(monkeypatch: pytest.MonkeyPatch, part_bytes: int, packed: int) -> None:
    """Cut plain files into parts of so many bytes, and compressed ones into so many parts."""
    defaults = (part_bytes, ((1, packed),), None)
    monkeypatch.setattr("mmecinstruct.sources.readers.parts.file_parts.__defaults__", defaults)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_rows_and_rejections_are_those_of_the_file_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = write(tmp_path / "q.jsonl", next(iter(LINES.values())))
    if suffix:
        path = tmp_path / f"q.jsonl{suffix}"
        path.write_bytes(pack(file.path.read_bytes(), suffix))
        file = RawFile(file.role, path, file.origin)
    whole = parsed(QUESTIONS, file, tmp_path / "whole")
    assert len(list((tmp_path / "whole").iterdir())) == 1
    assert {"q.jsonl:1", "q.jsonl:23", "q.jsonl:45"} <= set(whole[1]["origin"].to_pylist())
    cut_into(monkeypatch, 700, 9)
    pieces = parsed(QUESTIONS, file, tmp_path / "pieces")
    assert len(list((tmp_path / "pieces").iterdir())) > 5
    assert pieces == whole


RECORD = {
    "amazon18_metadata": {"asin": "B%09d", "title": "Lamp %d", "also_buy": ["B1", "B2"]},
    "amazon18_reviews": {"asin": "B%09d", "reviewerID": "A%d", "overall": 5, "unixReviewTime": 1393372800},
    "amazon18_ratings": None,
    "amazon23_metadata": {"parent_asin": "B%09d", "title": "Lamp %d"},
    "amazon23_reviews": {"parent_asin": "B%09d", "user_id": "A%d", "rating": 4, "timestamp": 1393372800000},
    "amazonqa": {"qid": "%d", "asin": "B%09d", "questionText": "Why %d?", "is_answerable": 0},
    "mave": {"id": "B%09d", "category": "Lamps %d", "paragraphs": [], "attributes": []},
    "esci_s": {"asin": "B%09d", "locale": "us", "image": "https://x/%d.jpg", "category": ["Lamps"]},
    "abo": {"item_id": "B%09d", "item_name": [{"language_tag": "en_US", "value": "Lamp %d"}]},
}


@pytest.mark.parametrize("kind", RECORD)
def test_every_source_that_is_read_by_lines_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    record = RECORD[kind]
    line = "B%09d,A%d,5.0,1393372800" if record is None else json.dumps(record)
    lines = [line.replace("%09d", f"{n:09}").replace("%d", str(n)) for n in range(50)]
    lines[20] = "?"
    path = tmp_path / f"x.{'csv' if record is None else 'json'}.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    images = gzip.compress(b"image_id,height,width,path\n")
    (tmp_path / "images.csv.gz").write_bytes(images)
    fields = {"listings": path.name, "images": "images.csv.gz"} if kind == "abo" else {"path": path.name}
    source = TypeAdapter[Source](Source).validate_python({"kind": kind, **fields})
    file = source_files(source, tmp_path)[0]
    whole = parsed(source, file, tmp_path / "whole")
    assert whole[2] == 50
    assert whole[1]["origin"].to_pylist() == [f"{path.name}:21"]
    assert sum(table.num_rows for table in whole[0].values()) >= 49
    cut_into(monkeypatch, 10**6, 4)
    assert parsed(source, file, tmp_path / "pieces") == whole
    assert len(list((tmp_path / "pieces").iterdir())) == 4


def test_files_that_cannot_be_read_by_parts_stay_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 10, 4)
    for name in ("a.parquet", "a.csv", "a.csv.gz", "damaged.jsonl.gz", "damaged.jsonl.zst"):
        (tmp_path / name).write_bytes(b"x\n" * 50)
        assert file_parts(QUESTIONS, RawFile("r", tmp_path / name, name)) == []
    (tmp_path / "p.jsonl").write_bytes(b"{}\n" * 50)
    file = RawFile("products", tmp_path / "p.jsonl", "p.jsonl")
    shop = CatalogSource.model_validate(
        {"kind": "catalog", "products": {"path": "p.jsonl", "id": "i", "title": "t"}}
    )
    for source in (shop, SqidSource(kind="sqid", path="x")):
        assert file_parts(source, file) == []
    for source in (AmazonMetadata(kind="amazon18_metadata", path="x"), MaveSource(kind="mave", path="x")):
        assert len(file_parts(source, file)) > 5


PARQUET = {
    "amazon23_reviews": {"parent_asin": "B%09d", "user_id": "A%d", "rating": 4, "timestamp": 1393372800000},
    "sqid": {"product_id": "B%09d", "image_url": "https://m.media-amazon.com/images/I/%d.jpg"},
    "esci": {
        "query_id": 1,
        "query": "lamp %d",
        "product_id": "B%09d",
        "product_locale": "us",
        "esci_label": "E",
        "product_title": "Lamp %d",
    },
    "catalog": {"i": "%d", "t": "Lamp %d"},
}


@pytest.mark.parametrize("part_bytes", [1, 1000, 10**6])
@pytest.mark.parametrize("kind", PARQUET)
def test_parquet_is_read_in_parts_of_whole_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, part_bytes: int
) -> None:
    def filled(value: object, number: int) -> object:
        if not isinstance(value, str) or number % 10 == 7:  # every tenth row lacks its texts
            return None if isinstance(value, str) else value
        return value.replace("%09d", f"{number:09}").replace("%d", str(number))

    rows = [{key: filled(value, n) for key, value in PARQUET[kind].items()} for n in range(95)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10)
    fields: dict[str, object] = {"path": path.name}
    if kind == "esci":
        fields = {"examples": path.name, "products": path.name}
    if kind == "catalog":
        fields = {"products": {"path": path.name, "id": "i", "title": "t"}}
    source = TypeAdapter[Source](Source).validate_python({"kind": kind, **fields})
    for file in source_files(source, tmp_path):
        whole = parsed(source, file, tmp_path / f"whole-{file.role}")
        assert whole[2] == 95
        assert whole[1]["origin"].to_pylist() == [f"x.parquet:{n + 1}" for n in range(7, 95, 10)]
        with monkeypatch.context() as patch:
            cut_into(patch, part_bytes, 1)
            assert parsed(source, file, tmp_path / f"pieces-{file.role}") == whole
        pieces = len(list((tmp_path / f"pieces-{file.role}").iterdir()))
        assert pieces == {1: 10, 10**6: 1}.get(part_bytes, pieces)
        assert part_bytes != 1000 or 1 < pieces < 10


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_only_large_archives_are_cut_into_parts_that_take_equally_long(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(1)
    content = b"".join(b'{"x": "%x"}\n' % noise.getrandbits(400) for _ in range(20_000))
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(pack(content, suffix))
    file = RawFile("questions", path, path.name)
    size = path.stat().st_size
    assert file_parts(QUESTIONS, file) == []
    assert file_parts(QUESTIONS, file, packed_parts=((size + 1, 4), (size, 2), (1, 1))) == file_parts(
        QUESTIONS, file, packed_parts=((1, 2),)
    )
    parts = file_parts(QUESTIONS, file, packed_parts=((size, 4),))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[0].start == 0
    assert parts[-1].stop is None
    lines = [sum(1 for _ in read_lines(path, part=part)) for part in parts]
    assert sum(lines) == 20_000
    taken = [sum(lines[:number]) * UNPACKING + lines[number] for number in range(4)]
    assert max(taken) < 1.05 * min(taken)
    assert taken[0] == pytest.approx(20_000 * packed_weight(4), rel=0.05)


@pytest.mark.parametrize(("cores", "parts"), [(1, 1), (2, 2), (3, 3), (4, 4), (64, 4), (None, 4)])
def test_an_archive_is_cut_into_no_more_parts_than_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, parts: int
) -> None:
    cut_into(monkeypatch, 10, 4)
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 5_000))
    stage = stage_over(QUESTIONS, [RawFile("questions", path, "x")], 8_000, cores)
    assert len(stage.items()) == parts


def test_parts_of_an_archive_are_weighted_by_their_reading_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 10, 4)
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 5_000))
    items = stage_over(QUESTIONS, [RawFile("questions", path, "x")], 8_000).items()
    whole = 8_000 * PACKED_WEIGHT
    assert [item.weight for item in items] == [round(whole * packed_weight(4))] * 4
    assert whole / 4 < items[0].weight < whole / 3
    assert packed_weight(1) == 1


def test_the_largest_file_weighs_most(tmp_path: Path) -> None:
    small, large = write(tmp_path / "a.jsonl", ["{}"]), write(tmp_path / "b.jsonl", ["{}"] * 9)
    packed = RawFile("questions", tmp_path / "c.jsonl.gz", "c.jsonl.gz")
    packed.path.write_bytes(b"x" * 20)
    weights = [item.weight for item in stage_over(QUESTIONS, [small, large, packed]).items()]
    assert weights == [3, 27, 20 * PACKED_WEIGHT]


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


def test_row_groups_do_not_depend_on_how_a_query_is_read(tmp_path: Path) -> None:
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
