"""CSV, Parquet and archives: each row is kept or rejected once, or an error names the file; never another exception."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources import Source
from mmecinstruct.sources.readers.batches import FilePart, RowError
from mmecinstruct.sources.readers.streams import read_lines

HOST = "https://m.media-amazon.com/images/I"
SHOP = {"id": "1", "title": "Bag", "path": "Gear > Bags", "text": "A <b>bag</b>", "price": "12,50 €"}
SHOP |= {"images": "a.jpg|b.jpg", "other": "2", "link": "cross", "stars": "5.0", "when": "2024-05-01"}
SHOP |= {"asked": "Does it close?", "said": "It does.|Well.", "yes": "yes", "label": "E"}
SHOP_TABLES: dict[str, dict[str, Any]] = {
    "products": {"id": "id", "title": "title", "category": "path", "price": "price", "images": "images"}
    | {"currency": "other", "description": "text", "features": "said", "color": "text", "brand": "title"},
    "relations": {"product": "id", "linked_product": "other", "relation": "link"}
    | {"names": {"cross": "also_bought"}},
    "reviews": {"product": "id", "rating": "stars", "text": "text", "user": "other", "timestamp": "when"},
    "questions": {"product": "id", "question": "asked", "document": "said", "answerable": "yes"},
    "judgements": {"query": "asked", "product": "id", "label": "label"},
}
JUDGED = {"query_id": "5", "query": "lamp", "product_id": "B000000001", "product_locale": "us"}
JUDGED |= {"esci_label": "E", "split": "test", "product_title": "Table Lamp", "product_brand": "Lumen"}
JUDGED |= {"product_description": "<p>Bright</p>", "product_bullet_point": "Brass\nGlass"}
PRODUCT_2023 = {"parent_asin": "B1", "title": "Balm", "price": "9.5", "categories": "Beauty", "details": "{}"}
PRODUCT_2023 |= {"images": f"{HOST}/a.jpg", "store": "Howl", "features": "Soft", "description": "Balm."}
REVIEW_2023 = {"parent_asin": "B1", "user_id": "AEYO", "rating": "5.0", "timestamp": "1588687728923"}
REVIEW_2023 |= {"title": "Nice", "text": "Soft.", "images": f"{HOST}/r.jpg", "verified_purchase": "yes"}
IMAGE = {"product_id": "B1", "image_url": f"{HOST}/a._SY385_.jpg"}

# Fields of the source with FILE for the file's name, the role of the file, its row.
Case = tuple[dict[str, Any], str, dict[str, str]]
FILE = "the file"
ESCI = {"kind": "esci", "examples": FILE, "products": FILE, "sources": FILE}
CATALOG: dict[str, Case] = {
    f"catalog {role}": (
        {"kind": "catalog", "products": SHOP_TABLES["products"] | {"path": FILE}}
        | {role: fields | {"path": FILE}},
        role,
        SHOP,
    )
    for role, fields in SHOP_TABLES.items()
}
SHARED: dict[str, Case] = CATALOG | {
    "esci examples": (ESCI, "examples", JUDGED),
    "esci products": (ESCI, "products", JUDGED),
    "esci sources": (ESCI, "sources", {"query_id": "5", "source": "negations"}),
    "sqid": ({"kind": "sqid", "path": FILE}, "images", IMAGE),
}
CSV_CASES: dict[str, Case] = SHARED | {
    "abo images": (
        {"kind": "abo", "images": FILE, "listings": FILE},
        "images",
        {"image_id": "51A", "height": "5", "width": "5", "path": "14/a.jpg"},
    )
}
PARQUET_CASES: dict[str, Case] = SHARED | {
    "amazon23_metadata": ({"kind": "amazon23_metadata", "path": FILE}, "metadata", PRODUCT_2023),
    "amazon23_reviews": ({"kind": "amazon23_reviews", "path": FILE}, "reviews", REVIEW_2023),
}
RATING = ["B000000001", "A3U4E9PIZ8OWH1", "5.0", "1383696000"]

ODD_CELLS = ("", " ", "\x00", "nan", "\ud800", "\ufeff", "\n", "\r\n", "a\nb", '"', '""', '"a', ",", "a,b\t")
ODD_CELLS += (
    "<b>",
    "{",
    "-1",
    "1e400",
    "9" * 5000,
    "0",
    "us",
    "a|b",
    "//host/x.jpg",
    "../x",
    "1_0",
    "x" * 200_000,
)
cells = st.sampled_from(ODD_CELLS) | st.text(st.characters(), max_size=12)


def source_of(fields: dict[str, Any], name: str) -> Source:
    """Return a source with the file's name instead of FILE."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        return name if value == FILE else value

    return TypeAdapter[Source](Source).validate_python(named(fields))


@st.composite
def rows_like(draw: st.DrawFn, row: list[str]) -> list[str]:
    """Generate the cells of a row: some replaced, too few or too many."""
    made = [draw(cells) if draw(st.integers(0, 7)) == 0 else cell for cell in row]
    length = draw(st.sampled_from((None, None, None, None, None, 0, 1, len(row) - 1)))
    return (made + draw(st.lists(cells, max_size=1)) * (draw(st.integers(0, 9)) == 0))[:length]


def as_csv(rows: list[list[str]], quoting: int, end: str) -> list[bytes]:
    """Return each row as it is in a file, with its line ends."""
    written = []
    for row in rows:
        text = io.StringIO()
        csv.writer(text, quoting=quoting, lineterminator=end).writerow(row)
        written.append(text.getvalue().encode("utf-8", "surrogatepass"))
    return written


@pytest.mark.parametrize("name", CSV_CASES)
@given(data=st.data())
def test_each_csv_row_is_kept_or_rejected_at_its_line(
    tmp_path: Path, read_soundly: Any, name: str, data: st.DataObject
) -> None:
    fields, role, row = CSV_CASES[name]
    rows = data.draw(st.lists(rows_like(list(row.values())), max_size=8))
    quoting = data.draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
    written = as_csv([list(row), list(row.values()), *rows], quoting, "\r\n")
    (tmp_path / "f.csv").write_bytes(b"".join(written))
    tables, rejections, records = read_soundly(source_of(fields, "f.csv"), tmp_path, role)
    assert records == 1 + sum(made != [] for made in rows)
    starts = list(itertools.accumulate((made.count(b"\n") for made in written), initial=1))
    lines = [int(rejection.origin.removeprefix("f.csv:")) for rejection in rejections]
    assert len(set(lines)) == len(lines)
    assert set(lines) <= set(starts[2:])
    if role == "products" and len(row) == len(SHOP):
        assert tables["products"][0]["product_id"] == "shop:1"


@given(rows=st.lists(rows_like(RATING).map(lambda row: [cell.replace("\n", " ") for cell in row])))
def test_each_line_of_ratings_is_kept_or_rejected(
    tmp_path: Path, read_soundly: Any, rows: list[list[str]]
) -> None:
    """No cell holds a line break, so no row spans two lines; there is no header."""
    content = b"".join(as_csv([RATING, *rows], csv.QUOTE_MINIMAL, "\n"))
    (tmp_path / "f.csv").write_bytes(content)
    source = source_of({"kind": "amazon18_ratings", "path": FILE}, "f.csv")
    tables, _, records = read_soundly(source, tmp_path)
    assert records == sum(not (line.isspace() or not line) for line in content.split(b"\n"))
    assert tables["reviews"][0]["product_id"] == "amazon18:B000000001"


@pytest.mark.parametrize("name", CSV_CASES)
@given(data=st.data())
def test_a_damaged_csv_file_is_read_or_an_error_names_it(
    tmp_path: Path, read_soundly: Any, name: str, data: st.DataObject
) -> None:
    fields, role, row = CSV_CASES[name]
    rows = data.draw(st.lists(rows_like(list(row.values())), max_size=8))
    written = as_csv([list(row), list(row.values()), *rows], csv.QUOTE_MINIMAL, "\n")
    content = data.draw(damaged(b"".join(written)))
    (tmp_path / "f.csv").write_bytes(content)
    read_or_named(tmp_path, read_soundly, source_of(fields, "f.csv"), role, "f.csv")


def read_or_named(root: Path, read_soundly: Any, source: Source, role: str | None, name: str) -> None:
    message = name
    try:
        read_soundly(source, root, role)
    except SourceError as error:
        message = str(error)
    assert name in message


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(0, len(content)))
        new = draw(st.sampled_from((b"", b'"', b"\n", b"\r", b"\x00", b"\xff")) | st.binary(max_size=3))
        content = content[:position] + new + content[position + draw(st.integers(0, 2)) :]
    return content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 3)) == 0 else content


# --- Parquet -----------------------------------------------------------------------------------------

# What Parquet can hold of fixed width: 8 bytes, read as such, are any value of the type, also those that Python has
# no date or time for.
WIDE = (pa.int64(), pa.uint64(), pa.float64(), pa.time64("us"), pa.date64())
WIDE += tuple(pa.timestamp(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC", "+05:30"))
WIDE += tuple(pa.duration(unit) for unit in ("s", "ms", "us", "ns"))


@st.composite
def columns(draw: st.DrawFn, text: str, length: int) -> pa.Array:
    """Generate a column with the texts in some form, or values of another type."""
    present = [text if draw(st.integers(0, 5)) else None for _ in range(length)]
    kind = draw(st.integers(0, 12))
    if kind < 4:
        return pa.array(present, pa.string())
    if kind == 4:
        raw = [None if value is None else value.encode() for value in present]
        broken = [draw(st.sampled_from((value, b"caf\xe9", b"\xed\xa0\x80"))) for value in raw]
        return pa.array(broken, pa.binary()).view(draw(st.sampled_from((pa.binary(), pa.string()))))
    if kind == 5:
        return pa.array(present, pa.string()).dictionary_encode()
    if kind == 6:
        return pa.array([None if value is None else [value, None] for value in present])
    if kind == 7:
        return pa.array([{"large": value, "k": [value]} for value in present])
    if kind == 8:
        return pa.array([[("k", value)] for value in present], pa.map_(pa.string(), pa.string()))
    if kind == 9:
        return pa.array(draw(st.lists(st.booleans() | st.none(), min_size=length, max_size=length)))
    if kind == 10:
        return pa.array([draw(st.decimals(-999, 999, places=2)) for _ in range(length)], pa.decimal128(9, 2))
    if kind == 11:
        days = [draw(st.integers(-(2**31), 2**31 - 1)) for _ in range(length)]
        return pa.array(days, pa.int32()).view(draw(st.sampled_from((pa.int32(), pa.date32()))))
    numbers = [draw(st.sampled_from((0, 1, 5, 10**9)) | st.integers(-(2**63), 2**63 - 1)) for _ in present]
    return pa.array(numbers, pa.int64()).view(draw(st.sampled_from(WIDE)))


@pytest.mark.parametrize("name", PARQUET_CASES)
@given(data=st.data())
def test_each_parquet_row_of_any_type_is_kept_or_rejected(
    tmp_path: Path, read_soundly: Any, name: str, data: st.DataObject
) -> None:
    fields, role, row = PARQUET_CASES[name]
    length = data.draw(st.integers(0, 4))
    table = {column: data.draw(columns(text, length), label=column) for column, text in row.items()}
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    _, rejections, records = read_soundly(source_of(fields, "f.parquet"), tmp_path, role)
    assert records == length
    positions = [int(rejection.origin.removeprefix("f.parquet:")) for rejection in rejections]
    assert len(set(positions)) == len(positions)
    assert set(positions) <= set(range(1, length + 1))


@given(change=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=3), cut=st.floats(0, 2))
def test_a_damaged_parquet_file_is_read_or_an_error_names_it(
    tmp_path: Path, read_soundly: Any, change: list[tuple[int, int]], cut: float
) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([JUDGED] * 50), buffer)
    content = bytearray(buffer.getvalue())
    for position, bit in change:
        content[position % len(content)] ^= 1 << bit
    (tmp_path / "f.parquet").write_bytes(content[: int(len(content) * cut)])
    read_or_named(tmp_path, read_soundly, source_of(ESCI, "f.parquet"), "products", "f.parquet")


# --- lines and archives --------------------------------------------------------------------------------


def packed(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(content)
    return content if suffix == "" else pa.Codec("zstd").compress(content, asbytes=True)


contents = st.lists(
    st.sampled_from((b"\n", b"\r\n", b"\xef\xbb\xbf", b"a" * 30)) | st.binary(max_size=12), max_size=30
).map(b"".join)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@given(content=contents, cuts=st.lists(st.integers(1, 400), max_size=5), most=st.integers(1, 40))
def test_parts_have_the_lines_of_the_file_for_any_cuts(
    tmp_path: Path, suffix: str, content: bytes, cuts: list[int], most: int
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(packed(content, suffix))
    whole = list(read_lines(path, most))
    positions = [0, *sorted(set(cuts)), None]
    parts = [FilePart(start, stop) for start, stop in itertools.pairwise(positions) if start is not None]
    assert [line for part in parts for line in read_lines(path, most, part)] == whole
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    assert [number for number, _ in whole] == list(range(1, len(lines) + 1))
    for (_, line), expected in zip(whole, lines, strict=True):
        if isinstance(line, RowError):
            assert len(expected) >= most
        else:
            assert line in (expected, expected.removeprefix(b"\xef\xbb\xbf"))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@given(content=contents, change=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=2))
def test_a_damaged_archive_gives_its_lines_or_an_error_that_names_it(
    tmp_path: Path, suffix: str, content: bytes, change: list[tuple[int, int]]
) -> None:
    archive = bytearray(packed(content * 20, suffix))
    for position, bit in change:
        archive[position % len(archive)] ^= 1 << bit
    path = tmp_path / f"x{suffix}"
    path.write_bytes(archive)
    numbers, message = [], str(path)
    try:
        numbers += [number for number, _ in read_lines(path)]
    except SourceError as error:
        message = str(error)
    assert numbers == list(range(1, len(numbers) + 1))
    assert str(path) in message


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@given(content=contents, share=st.floats(0, 1))
def test_a_truncated_archive_gives_the_lines_before_its_end(
    tmp_path: Path, suffix: str, content: bytes, share: float
) -> None:
    path = tmp_path / f"x{suffix}"
    archive = packed(content * 20, suffix)
    path.write_bytes(archive)
    whole = list(read_lines(path))
    path.write_bytes(archive[: int(len(archive) * share)])
    read, message = [], ""
    try:
        read += read_lines(path)
    except SourceError as error:
        message = str(error)
    if message:
        assert (read, "truncated within its first line" in message) == ([], True)
    elif read != whole:
        *before, (_, last) = read
        assert before == whole[: len(before)]
        assert isinstance(last, RowError)
        assert last.reason == "truncated_archive"
