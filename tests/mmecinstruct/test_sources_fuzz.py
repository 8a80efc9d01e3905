"""No parser stops at a damaged record: whatever a line holds, it is kept once or rejected once.

Rows that look like the publishers' are mutated by a generator with a fixed seed: fields dropped, retyped, nested and
filled with what breaks programs, lines cut and bytes flipped. MMEC_FUZZ_ROUNDS makes more of them than a test needs.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from mmecinstruct.errors import SourceError
from mmecinstruct.rejections import DETAIL_LENGTH, rejections_table
from mmecinstruct.sources import Source, parse_file, source_files
from mmecinstruct.tables import RAW_TABLES

ROUNDS = int(os.environ.get("MMEC_FUZZ_ROUNDS", "2"))
LINES = 150

HOST = "https://m.media-amazon.com/images/I"
ODD: tuple[Any, ...] = (
    *(None, True, False, "", " ", "\x00", "0", "None", "nan", "null", "-", [], {}, [[]], [None], {"": None}),
    *(0, -1, 1, 5, 2**31, 2**63, 2**64, -(2**70), 10**25, 1e308, -0.0, 0.5, float("nan"), float("inf")),
    *(
        "\ud800",
        "a\udfffb",
        "\ufeff",
        "\u202e",
        "e" + "\u0301" * 500,
        "🦄",
        "&#99999999999;",
        "&" * 300,
        "&amp;" * 50,
    ),
    *(
        "<" * 300,
        "<p>" * 200,
        "<!--",
        "<script>",
        "<![CDATA[",
        "{",
        "/>",
        "getTime",
        "$" + "9" * 400,
        "$1,2,3",
        "9" * 5000,
    ),
    *(
        f"{HOST}/a._SX38_.jpg",
        "//host/x",
        "data:image/png;base64,AAAA",
        "https://",
        "http://[::1",
        "x" * 70_000,
    ),
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2018-13-01",
        "1e5",
        "1_0",
        "５",
        "E",
        "exact",
        "100",
    ),
    *([{"hi_res": 3}], {"large": [None, 4, ["x"]]}, [{"language_tag": 3, "value": [1]}], [{"node_name": {}}]),
    *(
        "asin=" * 50,
        "data-asin='B000000001'" * 20,
        "/dp/B00000000",
        [["B000000001"]],
        {"also_bought": {"x": 1}},
    ),
)


def odd(noise: random.Random) -> Any:
    value = noise.choice(ODD)
    for _ in range(noise.choice((0, 0, 0, 1, 2, 300))):
        value = [value] if noise.random() < 0.5 else {"k": value}
    return value


def mutated(row: Any, noise: random.Random) -> Any:
    """Return a row in which some values were dropped or replaced, at any depth."""
    if noise.random() < 0.12:
        return odd(noise)
    if isinstance(row, dict):
        changed = {key: mutated(value, noise) for key, value in row.items() if noise.random() > 0.05}
        return changed | (
            {noise.choice(["x", "", "\ud800", *row]): odd(noise)} if noise.random() < 0.1 else {}
        )
    if isinstance(row, list):
        items = [mutated(item, noise) for item in row if noise.random() > 0.1]
        return items * noise.choice((0, 1, 1, 1, 50))
    return row


def damaged(line: bytes, noise: random.Random) -> bytes:
    """Return a line that may be cut, or have flipped, lost or doubled bytes."""
    line = line.replace(b"\n", b"")
    if noise.random() < 0.15:
        line = line[: noise.randrange(len(line) + 1)]
    if line and noise.random() < 0.2:
        for _ in range(noise.randint(1, 4)):
            place = noise.randrange(len(line))
            line = line[:place] + bytes([noise.randrange(256)]) + line[place + noise.randint(0, 2) :]
    return line.replace(b"\n", b"")


def as_json(row: Any, noise: random.Random) -> bytes:
    if noise.random() < 0.1:
        return repr(row).encode("utf-8", "replace")
    return json.dumps(row, ensure_ascii=noise.random() < 0.7).encode("utf-8", "surrogatepass")


def as_csv(row: Any, noise: random.Random) -> bytes:
    cells = row.values() if isinstance(row, dict) else row if isinstance(row, list) else [row]
    text = io.StringIO()
    # Nothing that would take more lines than one: the count of records must be known here.
    csv.writer(text).writerow([str(cell)[:900].replace("\n", " ").replace("\r", " ") for cell in cells])
    return text.getvalue().replace("\r\n", "").encode("utf-8", "surrogatepass")


PRODUCT = {
    "asin": "B000000001",
    "title": "Table Lamp &amp; Shade",
    "brand": "Visit Amazon's Lumen Page",
    "category": ["Tools &amp; Home", "Lamps"],
    "main_cat": "Tools",
    "description": ["<p>Bright.</p>", "Warm."],
    "feature": ["Brass &amp; glass"],
    "price": "$19.99",
    "imageURL": [f"{HOST}/a1._SX38_SY50_CR,0,0,38,50_.jpg"],
    "imageURLHighRes": [f"{HOST}/a1.jpg"],
    "also_buy": ["B000000002", "B000000001"],
    "also_view": ["B000000003"],
    "similar_item": '<th data-asin="B000000004"><a href="/dp/B000000005">',
    "categories": [["Tools"]],
    "related": {"also_bought": ["B000000002"], "also_viewed": ["B000000003"]},
    "imUrl": f"{HOST}/b.jpg",
}
REVIEW = {
    "asin": "B000000001",
    "reviewerID": "A3U4E9PIZ8OWH1",
    "overall": 4.0,
    "summary": "Nice",
    "reviewText": "Good &amp; bright.<br />Warm.",
    "unixReviewTime": 1393372800,
    "verified": True,
    "image": [f"{HOST}/r1._SY88.jpg"],
}
PRODUCT_2023 = {
    "parent_asin": "B000000001",
    "title": "Lip Balm",
    "main_category": "All Beauty",
    "categories": ["Beauty", "Lips"],
    "store": "Howl",
    "description": ["Balm."],
    "features": ["Soft"],
    "price": 9.99,
    "images": [{"hi_res": None, "large": f"{HOST}/a.jpg", "thumb": f"{HOST}/a._SS40_.jpg"}],
    "details": {"Brand": "Howl", "Color": "Red"},
}
REVIEW_2023 = {
    "parent_asin": "B000000001",
    "asin": "B000000002",
    "user_id": "AEYORY2AVPMC",
    "rating": 5.0,
    "title": "Nice",
    "text": "Soft.<br />Warm.",
    "timestamp": 1588687728923,
    "verified_purchase": True,
    "images": [{"large_image_url": f"{HOST}/r._SL1600_.jpg"}],
}
QUESTION = {
    "qid": 5,
    "asin": "B000000001",
    "category": "Sports_and_Outdoors",
    "questionText": "Does it float?",
    "review_snippets": ["It floats &amp; glides.", "Fun."],
    "is_answerable": 1,
}
PAGE = {"asin": "B000000001", "locale": "us", "category": ["Phones", "Cases"], "image": f"{HOST}/p.__AC_.jpg"}
LISTING = {
    "item_id": "B07TF1FCFD",
    "item_name": [{"language_tag": "en_US", "value": "Phone Case"}],
    "brand": [{"language_tag": "en_US", "value": "Solimo"}],
    "bullet_point": [{"language_tag": "en_US", "value": "Snug"}],
    "color": [{"language_tag": "en_US", "value": "Red"}],
    "product_type": [{"value": "PHONE_CASE"}],
    "node": [{"node_name": "/Categories/Phones/Cases"}],
    "main_image_id": "51Ax1GgPVcL",
    "other_image_id": ["71-UjLr0AlL"],
}
SHOP = {
    "i": "1",
    "t": "Bag",
    "b": "Luma",
    "c": "Gear > Bags",
    "d": "A <b>bag</b>",
    "p": "12,50 €",
    "o": "red",
    "f": ["linen"],
    "m": ["a.jpg"],
}
SHOP_SOURCE = {
    "kind": "catalog",
    "products": {
        "path": "f",
        "id": "i",
        "title": "t",
        "brand": "b",
        "category": "c",
        "description": "d",
        "price": "p",
        "color": "o",
        "features": "f",
        "images": "m",
    },
}

JSON_SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "amazon18_metadata": ({"kind": "amazon18_metadata", "path": "f"}, PRODUCT),
    "amazon18_reviews": ({"kind": "amazon18_reviews", "path": "f"}, REVIEW),
    "amazon23_metadata": ({"kind": "amazon23_metadata", "path": "f"}, PRODUCT_2023),
    "amazon23_reviews": ({"kind": "amazon23_reviews", "path": "f"}, REVIEW_2023),
    "amazonqa": ({"kind": "amazonqa", "path": "f"}, QUESTION),
    "mave": ({"kind": "mave", "path": "f"}, {"id": "B000000001", "category": "Guitar Strings"}),
    "esci_s": ({"kind": "esci_s", "path": "f"}, PAGE),
    "abo": ({"kind": "abo", "listings": "f", "images": "images.csv"}, LISTING),
    "catalog": (SHOP_SOURCE, SHOP),
}
JUDGED = {
    "query_id": 5,
    "query": "lamp",
    "product_id": "B000000001",
    "product_locale": "us",
    "esci_label": "E",
    "split": "test",
    "product_title": "Table Lamp",
    "product_description": "<p>Bright</p>",
    "product_bullet_point": "Brass\nGlass",
    "product_brand": "Lumen",
    "product_color": "Red",
}


def named(settings: dict[str, Any], name: str) -> Source:
    """Return a source whose file is called `name`."""
    text = json.dumps(settings).replace('"f"', json.dumps(name), 1)
    return TypeAdapter(Source).validate_python(json.loads(text))


def judge(source: Source, root: Path, role: str | None = None) -> tuple[int, int]:
    """Parse a source's first file as a build does; return (records, kept)."""
    file = next(file for file in source_files(source, root) if role in (None, file.role))
    records = kept = 0
    for batch in parse_file(source, file):
        assert batch.records == batch.kept + len(batch.rejections)
        records, kept = records + batch.records, kept + batch.kept
        for name, table in batch.tables.items():
            table.validate(full=True)
            assert table.schema == RAW_TABLES[name]
            pq.write_table(table, pa.BufferOutputStream())
        for rejection in batch.rejections:
            assert rejection.origin.startswith(f"{file.origin}:")
            assert len(rejection.detail) <= DETAIL_LENGTH
        rejections_table(batch.rejections).validate(full=True)
    return records, kept


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("name", JSON_SOURCES)
def test_json_lines_are_kept_or_rejected_once(tmp_path: Path, name: str, seed: int) -> None:
    settings, row = JSON_SOURCES[name]
    noise = random.Random(f"{name} {seed}")
    lines = [as_json(row, noise)]
    lines += [damaged(as_json(mutated(row, noise), noise), noise) for _ in range(LINES)]
    (tmp_path / "f.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "images.csv").write_text("image_id,path\n51Ax1GgPVcL,14/a.jpg\n", encoding="utf-8")
    records, kept = judge(named(settings, "f.jsonl"), tmp_path)
    assert records == sum(not (line.isspace() or not line) for line in lines)
    assert LINES // 10 < kept < LINES


def test_the_fuzzer_itself_reaches_both_ends(tmp_path: Path) -> None:
    """A mutation that broke every line would test nothing."""
    noise = random.Random(1)
    rows = [mutated(REVIEW, noise) for _ in range(400)]
    assert sum(row == REVIEW for row in rows) > 20
    assert sum(not isinstance(row, dict) for row in rows) > 20


CsvCase = tuple[dict[str, Any], dict[str, Any], bool, str | None]
CSV_SOURCES: dict[str, CsvCase] = {
    "amazon18_ratings": (
        {"kind": "amazon18_ratings", "path": "f"},
        {"item": "B000000001", "user": "A3U4E9PIZ8OWH1", "rating": "5.0", "time": "1383696000"},
        False,
        None,
    ),
    "sqid": (
        {"kind": "sqid", "path": "f"},
        {"product_id": "B1", "image_url": f"{HOST}/a._SY385_.jpg"},
        True,
        None,
    ),
    "esci sources": (
        {"kind": "esci", "examples": "e.parquet", "products": "e.parquet", "sources": "f"},
        {"query_id": "5", "source": "negations"},
        True,
        "sources",
    ),
    "abo images": (
        {"kind": "abo", "images": "f", "listings": "e.parquet"},
        {"image_id": "51A", "height": "5", "width": "5", "path": "14/a.jpg"},
        True,
        "images",
    ),
    "catalog": (SHOP_SOURCE, SHOP, True, None),
}


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("name", CSV_SOURCES)
def test_csv_rows_are_kept_or_rejected_once(tmp_path: Path, name: str, seed: int) -> None:
    settings, row, has_header, role = CSV_SOURCES[name]
    noise = random.Random(f"csv {name} {seed}")
    lines = [damaged(as_csv(mutated(row, noise), noise), noise) for _ in range(LINES)]
    # A quote that stays open makes one row of the rest of the file, which is an error of the file.
    lines = [line if line.count(b'"') % 2 == 0 else line.replace(b'"', b"") for line in lines]
    lines = [line.replace(b"\r", b"") for line in lines]
    header = [",".join(row).encode()] if has_header else []
    (tmp_path / "e.parquet").touch()
    (tmp_path / "f.csv").write_bytes(b"\n".join([*header, as_csv(row, noise), *lines]))
    records, kept = judge(named(settings, "f.csv"), tmp_path, role)
    if name == "amazon18_ratings":  # a line of blanks is none there; in a table it is a row with one cell
        lines = [line.strip() for line in lines]
    assert records == 1 + sum(line != b"" for line in lines)
    assert 0 < kept < LINES


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("role", ["examples", "products"])
def test_parquet_rows_are_kept_or_rejected_once_whatever_the_types(
    tmp_path: Path, role: str, seed: int
) -> None:
    noise = random.Random(f"parquet {role} {seed}")
    makers: list[Callable[[list[Any]], pa.Array]] = [
        lambda values: pa.array([None if v is None else str(v) for v in values]),
        lambda values: pa.array([str(v).encode("utf-8", "replace") for v in values], pa.binary()),
        lambda values: pa.array([noise.choice([None, 0, 5, -1, 2**62]) for _ in values], pa.int64()),
        lambda values: pa.array(
            [noise.choice([None, 1.0, float("nan"), 1e300]) for _ in values], pa.float64()
        ),
        lambda values: pa.array([[str(v)] for v in values]),
        lambda values: pa.array([noise.choice([None, True]) for _ in values], pa.bool_()),
        lambda values: pa.array([noise.choice([None, 10**9]) for _ in values], pa.timestamp("ms")),
        lambda values: pa.nulls(len(values)),
        # Texts that are not UTF-8, which a careless writer lets through.
        lambda values: pa.array([noise.choice([b"us", b"caf\xe9", b"1"]) for _ in values]).view(pa.string()),
    ]
    weights = [8, *[1] * (len(makers) - 1)]
    columns = {
        column: noise.choices(makers, weights)[0](
            [value if noise.random() < 0.8 else None for _ in range(60)]
        )
        for column, value in JUDGED.items()
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    source = named({"kind": "esci", "examples": "f", "products": "f.parquet"}, "f.parquet")
    records, _ = judge(source, tmp_path, role)
    assert records == 60


@pytest.mark.parametrize("seed", range(ROUNDS * 5))
def test_a_damaged_archive_or_table_is_read_or_an_error_that_names_it(tmp_path: Path, seed: int) -> None:
    """Whole files with flipped, cut or added bytes: never another exception, never a record counted twice."""
    import gzip

    noise = random.Random(f"archive {seed}")
    content = b"".join(as_json(mutated(REVIEW, noise), noise).replace(b"\n", b"") + b"\n" for _ in range(300))
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([JUDGED] * 50), table)
    for name, packed in (
        ("f.json.gz", gzip.compress(content)),
        ("f.json.zst", pa.Codec("zstd").compress(content, asbytes=True)),
        ("f.parquet", table.getvalue()),
    ):
        broken = bytearray(packed)
        for _ in range(noise.choice((0, 1, 3))):
            broken[noise.randrange(len(broken))] ^= 1 << noise.randrange(8)
        broken = broken[: noise.randrange(len(broken)) if noise.random() < 0.5 else None]
        (tmp_path / name).write_bytes(bytes(broken))
        kind = {"kind": "esci", "examples": "f", "products": "f.parquet"}
        settings = kind if name.endswith(".parquet") else {"kind": "amazon18_reviews", "path": "f"}
        message = name
        try:
            judge(named(settings, name), tmp_path)
        except SourceError as error:
            message = str(error)
        assert name in message
