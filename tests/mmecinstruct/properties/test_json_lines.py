"""No parser stops at a damaged line: it is kept once or rejected once, and other lines are not affected.

Hypothesis takes lines as publishers write them, where MMEC_REAL_DATA names a folder of real files those of real files,
drops, retypes, nests and fills their fields with what breaks programs, and damages their bytes.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mmecinstruct.core.errors import SourceError
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import Source
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.tabular import read_csv

REAL = Path(folder) if (folder := os.environ.get("MMEC_REAL_DATA")) else None

HOST = "https://m.media-amazon.com/images/I"
ODD_TEXTS = (
    *("", " ", "\x00", "0", "None", "nan", "null", "-", "\ud800", "a\udfffb", "\ufeff", "\u202e", "🦄"),
    *("e" + "\u0301" * 500, "é" + "\u200d" * 500 + "é", "&#99999999999;", "&" * 300, "&amp;" * 50),
    *("<" * 300, "<p>" * 200, "<!--", "<script>", "<![CDATA[", "&lt;b&gt;", "{", "/>", "getTime"),
    *("＜script＞x＜/script＞", "a <s\u200bcript>b", "&amp;lt;img src=x&amp;gt;", "Gear > <b>Bags"),
    *("$" + "9" * 400, "$1,2,3", "9" * 5000, "１２,５", "1\u202f299,00 €", "-5", "1e5", "1_0", "５"),
    *(f"{HOST}/a._SX38_.jpg", "//host/x", "data:image/png;base64,AAAA", "https://", "http://[::1", "../x"),
    *("x" * 70_000, "a:b:c", "two\nlines", 'quo"ted', "com,ma", "\r", "|", "a|b", "Gear > Bags"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2018-13-01", "2018-01-01", "20180101"),
    *("E", "exact", "100", "yes", "no", "us", "es", "en_US", "asin=" * 50, "data-asin='B000000001'" * 20),
    *("/dp/B00000000", "B000000001", "A3U4E9PIZ8OWH1"),
)
ODD_VALUES = (
    *([], {}, [[]], [None], {"": None}, 2**31, 2**63, 2**64, -(2**70), 10**25, 1e308, -0.0),
    *([{"hi_res": 3}], {"large": [None, 4, ["x"]]}, [{"language_tag": 3, "value": [1]}], [{"node_name": {}}]),
    *([["B000000001"]], {"also_bought": {"x": 1}}, {"data": [{"paragraphs": [{"qas": [{}]}]}]}),
)
DEEP = "a value that is nested so deep: "  # and the depth; put in once the row is text, which no encoder could do

texts = st.sampled_from(ODD_TEXTS) | st.text(st.characters(), max_size=20)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.sampled_from(ODD_VALUES).map(copy.deepcopy)  # rows are changed in place
    | st.sampled_from((30, 300, 900, 960, 980, 5_000)).map(lambda depth: f"{DEEP}{depth}")
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


def positions(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key or index) of everything within a row."""
    inside = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        inside = list(enumerate(value))
    for key, item in inside:
        yield value, key
        yield from positions(item)


@st.composite
def mutated(draw: st.DrawFn, rows: list[Any]) -> Any:
    """Generate a row with up to three values dropped, replaced, wrapped or repeated; or no row at all."""
    row = copy.deepcopy(draw(st.sampled_from(rows)))
    changes = draw(st.integers(0, 4))
    if changes == 4:
        return draw(values)
    for _ in range(changes):
        found = list(positions(row))
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(("replace", "replace", "drop", "wrap", "name", "repeat")))
        if change == "replace":
            holder[key] = draw(values)
        elif change == "drop":
            del holder[key]
        elif change == "name" and isinstance(holder, dict):
            holder[draw(texts)] = holder.pop(key)
        elif change == "wrap":
            holder[key] = [holder[key]]
        elif isinstance(holder[key], str | list):
            holder[key] = holder[key] * 50
    return row


@st.composite
def damaged(draw: st.DrawFn, line: bytes) -> bytes:
    """Generate a line that is cut, or has bytes replaced, lost or doubled; most often an unchanged line."""
    for _ in range(max(0, draw(st.integers(-4, 3)))):
        position = draw(st.integers(0, len(line)))
        kind = draw(st.sampled_from(("replace", "lose", "double", "cut")))
        if kind == "cut":
            line = line[:position]
        elif kind == "double":
            line = line[:position] + line[max(0, position - 3) :]
        else:
            new = draw(st.binary(min_size=1, max_size=2)) if kind == "replace" else b""
            line = line[:position] + new + line[position + 1 :]
    return line


def as_json(row: Any, form: str) -> bytes:
    """Return a row as JSON, in ASCII or not, or as a Python literal."""
    if form == "literal":
        text = repr(row).encode("utf-8", "replace")
    else:
        text = json.dumps(row, ensure_ascii=form == "ascii").encode("utf-8", "surrogatepass")
    for depth in (5_000, 980, 960, 900, 300, 30):
        for quote in (b'"', b"'"):
            text = text.replace(
                quote + f"{DEEP}{depth}".encode() + quote, b'{"k":[' * (depth // 2) + b"]}" * (depth // 2)
            )
    return text


@st.composite
def json_lines(draw: st.DrawFn, rows: list[Any]) -> bytes:
    form = draw(st.sampled_from(("json", "ascii", "literal")))
    return draw(damaged(as_json(draw(mutated(rows)), form))).replace(b"\n", b"")


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
}
SHOP |= {
    "f": ["linen"],
    "m": ["a.jpg"],
    "q": "Does it close?",
    "s": ["It does."],
    "a": "yes",
    "r": 5,
    "w": "2024-05-01",
}
SHOP |= {"u": "ann", "l": "2", "k": "cross", "e": "E"}
SHOP_TABLES = {
    "products": {"id": "i", "title": "t", "brand": "b", "category": "c", "description": "d", "price": "p"}
    | {"currency": "o", "color": "o", "features": "f", "images": "m"},
    "relations": {"product": "i", "linked_product": "l", "relation": "k", "names": {"cross": "also_bought"}},
    "reviews": {"product": "i", "rating": "r", "text": "d", "title": "t", "user": "u", "timestamp": "w"}
    | {"images": "m", "id": "k"},
    "questions": {"product": "i", "question": "q", "document": "s", "answerable": "a"},
    "judgements": {"query": "q", "product": "i", "label": "e"},
}
JUDGED = {
    "query_id": 5,
    "query": "lamp",
    "product_id": "B000000001",
    "product_locale": "us",
    "esci_label": "E",
}
JUDGED |= {"split": "test", "product_title": "Table Lamp", "product_description": "<p>Bright</p>"}
JUDGED |= {"product_bullet_point": "Brass\nGlass", "product_brand": "Lumen", "product_color": "Red"}
SQUAD = {"paragraphs": [{"context": "It does.", "qas": [{"question": "Does it?"}, {"question": "Will it?"}]}]}

# Settings of the source, the role of the file, lines.
Case = tuple[dict[str, Any], str, list[dict[str, Any]]]
CASES: dict[str, Case] = {
    "amazon18_metadata": ({"path": "f.jsonl"}, "metadata", [PRODUCT]),
    "amazon18_reviews": ({"path": "f.jsonl"}, "reviews", [REVIEW]),
    "amazon23_metadata": ({"path": "f.jsonl"}, "metadata", [PRODUCT_2023]),
    "amazon23_reviews": ({"path": "f.jsonl"}, "reviews", [REVIEW_2023]),
    "amazonqa": ({"path": "f.jsonl"}, "questions", [QUESTION, SQUAD, {"data": [SQUAD]}]),
    "mave": ({"path": "f.jsonl"}, "labels", [{"id": "B000000001", "category": "Guitar Strings"}]),
    "esci_s": ({"path": "f.jsonl"}, "pages", [PAGE]),
    "abo": ({"listings": "f.jsonl", "images": "images.csv"}, "listings", [LISTING]),
    "esci examples": ({"examples": "f.jsonl", "products": "f.jsonl"}, "examples", [JUDGED]),
    "esci products": ({"examples": "f.jsonl", "products": "f.jsonl"}, "products", [JUDGED]),
    "sqid": ({"path": "f.jsonl"}, "images", [{"product_id": "B1", "image_url": f"{HOST}/a._SY385_.jpg"}]),
} | {
    f"catalog {role}": (
        {"products": SHOP_TABLES["products"] | {"path": "f.jsonl"}, role: fields | {"path": "f.jsonl"}},
        role,
        [SHOP],
    )
    for role, fields in SHOP_TABLES.items()
}


def source_of(name: str, fields: dict[str, Any]) -> Source:
    return TypeAdapter[Source](Source).validate_python({"kind": name.split()[0], **fields})


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_each_line_is_kept_once_or_rejected_once_and_alone(
    tmp_path: Path, read_soundly: Any, name: str, data: st.DataObject
) -> None:
    check_lines(tmp_path, read_soundly, name, CASES[name], data)


def check_lines(tmp_path: Path, read_soundly: Any, name: str, case: Case, data: st.DataObject) -> None:
    """Check that a file's rows and rejections are those of its lines, each put into a file of its own."""
    fields, role, rows = case
    source = source_of(name, fields)
    (tmp_path / "images.csv").write_text("image_id,path\n51Ax1GgPVcL,14/a.jpg\n", encoding="utf-8")

    def read(lines: list[bytes]) -> tuple[dict[str, list[Any]], list[Rejection], int]:
        # A sound line is the first: a table without a single readable column is an error.
        (tmp_path / "f.jsonl").write_bytes(b"\n".join([as_json(rows[0], "json"), *lines]))
        return read_soundly(source, tmp_path, role)

    first, rejected_first, counted_first = read([])
    lines = data.draw(st.lists(json_lines(rows), min_size=1, max_size=5))
    expected = {table: list(found) for table, found in first.items()}
    rejections, records = list(rejected_first), counted_first
    for position, line in enumerate(lines):
        alone, rejected, counted = read([b""] * position + [line])
        counted -= counted_first
        blank = not line or line.isspace()
        assert counted == (not blank) or (name == "amazonqa" and counted > 1)  # each question of SQuAD's form
        for table, found in alone.items():
            expected.setdefault(table, []).extend(found[len(first.get(table, [])) :])
        rejections += rejected[len(rejected_first) :]
        records += counted
    assert read(lines) == (expected, rejections, records)


def magazines(name: str) -> list[Any]:
    assert REAL is not None
    rows = [row for _, row in read_json_lines(REAL / "amazon2018_magazines_reviews" / name, dict)]
    return rows[:: len(rows) // 40]


def esci_sample() -> list[Any]:
    assert REAL is not None
    rows: list[Any] = pq.read_table(REAL / "esci_vespa_sample" / "test-sample.parquet").to_pylist()
    return rows


def luma(name: str) -> list[Any]:
    assert REAL is not None
    rows = [row for _, row in read_csv(REAL / "luma_shop" / f"{name}.csv", {})]
    return rows[:: len(rows) // 40]


LUMA = {"id": "sku", "title": "name", "category": "category", "price": "price", "images": "images"}
LUMA |= {"description": "description", "features": "material", "color": "color", "brand": "brand"}
LUMA_REVIEWS = {"product": "sku", "rating": "rating", "title": "title", "text": "review"}
FILE = {"path": "f.jsonl"}
REAL_CASES: dict[str, tuple[dict[str, Any], str, Callable[[], list[Any]]]] = {
    "amazon18_metadata": (FILE, "metadata", lambda: magazines("meta_Magazine_Subscriptions.json.gz")),
    "amazon18_reviews": (FILE, "reviews", lambda: magazines("Magazine_Subscriptions_5.json.gz")),
    "esci examples": ({"examples": "f.jsonl", "products": "f.jsonl"}, "examples", esci_sample),
    "catalog products": ({"products": LUMA | FILE}, "products", lambda: luma("products")),
    "catalog reviews": (
        {"products": LUMA | FILE, "reviews": LUMA_REVIEWS | FILE},
        "reviews",
        lambda: luma("reviews"),
    ),
}


@pytest.mark.parametrize("name", REAL_CASES)
@given(data=st.data())
def test_each_line_of_a_real_file_too(
    tmp_path: Path, read_soundly: Any, name: str, data: st.DataObject
) -> None:
    fields, role, _ = REAL_CASES[name]
    check_lines(tmp_path, read_soundly, name, (fields, role, _real_rows(name)), data)


@cache
def _real_rows(name: str) -> list[Any]:
    try:
        return REAL_CASES[name][2]() if REAL is not None else pytest.skip("MMEC_REAL_DATA is not set")
    except (SourceError, FileNotFoundError) as error:
        pytest.skip(f"MMEC_REAL_DATA names no folder with such a file: {error}")
