"""ESCI judgements and products, and SQID's image URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import parse_file, source_files
from mmecinstruct.sources.readers.parts import file_parts
from mmecinstruct.sources.settings import EsciSource, SqidSource

ESCI = EsciSource(kind="esci", examples="examples.parquet", products="products.parquet")
SQID = SqidSource(kind="sqid", path="urls.csv")
EXAMPLE: dict[str, Any] = {
    "example_id": 1,
    "query": " red  mug ",
    "query_id": 535,
    "product_id": "B1",
    "product_locale": "us",
    "esci_label": "S",
    "small_version": 1,
    "large_version": 1,
    "split": "test",
}
PRODUCT: dict[str, Any] = {
    "product_id": "B1",
    "product_title": "Mug &amp; Saucer",
    "product_description": "<p>Holds <b>tea</b>.</p>",
    "product_bullet_point": "Stoneware\nDishwasher safe\n",
    "product_brand": "Clay",
    "product_color": "Red",
    "product_locale": "us",
}


def parse(
    tmp_path: Path, role: str, records: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[Rejection]]:
    other = "products" if role == "examples" else "examples"
    pq.write_table(pa.Table.from_pylist(records), tmp_path / f"{role}.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / f"{other}.parquet")
    file = next(f for f in source_files(ESCI, tmp_path) if f.role == role)
    batches = list(parse_file(ESCI, file))
    rows = [row for batch in batches for table in batch.tables.values() for row in table.to_pylist()]
    return rows, [rejection for batch in batches for rejection in batch.rejections]


def test_a_judgement_is_read(tmp_path: Path) -> None:
    rows, rejections = parse(tmp_path, "examples", [EXAMPLE])
    assert rejections == []
    assert rows == [
        {
            "query_id": "esci:535",
            "query": "red mug",
            "product_id": "esci:B1",
            "label": "S",
            "locale": "us",
            "source_split": "test",
            "origin": "examples.parquet:1",
        }
    ]


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("E", "E"),
        ("Exact", "E"),
        ("irrelevant", "I"),
        ("c", "C"),
        ("100", "E"),
        ("10", "S"),
        ("1", "C"),
        ("0", "I"),
    ],
)
def test_labels_are_letters_words_or_gains(tmp_path: Path, given: str, label: str) -> None:
    rows, _ = parse(tmp_path, "examples", [EXAMPLE | {"esci_label": given}])
    assert rows[0]["label"] == label


def test_a_product_is_read(tmp_path: Path) -> None:
    rows, rejections = parse(tmp_path, "products", [PRODUCT])
    assert rejections == []
    assert rows == [
        {
            "product_id": "esci:B1",
            "source": "esci",
            "title": "Mug & Saucer",
            "brand": "Clay",
            "category": None,
            "category_path": [],
            "description": "Holds tea.",
            "features": ["Stoneware", "Dishwasher safe"],
            "price": None,
            "currency": None,
            "color": "Red",
            "image_urls": [],
            "group_id": None,
            "origin": "products.parquet:1",
        }
    ]


def test_a_product_with_a_title_only_is_kept(tmp_path: Path) -> None:
    empty = dict.fromkeys(
        ("product_description", "product_bullet_point", "product_brand", "product_color"), None
    )
    rows, rejections = parse(tmp_path, "products", [PRODUCT, PRODUCT | empty])
    assert rejections == []
    assert (rows[1]["description"], rows[1]["features"], rows[1]["brand"]) == ("", [], None)


def test_another_locales_rows_are_rejected_so_that_ids_stay_unique(tmp_path: Path) -> None:
    rows, rejections = parse(tmp_path, "products", [PRODUCT, PRODUCT | {"product_locale": "jp"}])
    assert len(rows) == 1
    assert [(r.reason, r.origin, r.record_id) for r in rejections] == [
        ("other_locale", "products.parquet:2", "esci:B1")
    ]
    _, rejections = parse(tmp_path, "examples", [EXAMPLE | {"product_locale": "es"}, EXAMPLE])
    assert [(r.reason, r.origin) for r in rejections] == [("other_locale", "examples.parquet:1")]


def test_rows_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    changes = [{"query": "  "}, {"esci_label": "X"}, {"product_id": ""}, {"product_id": None}]
    rows, rejections = parse(tmp_path, "examples", [EXAMPLE | change for change in changes])
    assert rows == []
    assert [r.reason for r in rejections] == ["missing_text", "bad_label", "missing_id", "missing_id"]
    changes = [{"product_title": ""}, {"product_title": "<div"}, {"product_id": " "}]
    _, rejections = parse(tmp_path, "products", [PRODUCT | change for change in changes])
    assert [r.reason for r in rejections] == ["missing_title", "title_not_text", "missing_id"]


def test_a_file_that_is_no_esci_file_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"examples\.parquet.*'query_id'.*query_text"):
        parse(tmp_path, "examples", [{"query_text": "mug"}])
    (tmp_path / "examples.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(SourceError, match=r"examples\.parquet.*Parquet"):
        list(parse_file(ESCI, source_files(ESCI, tmp_path)[0]))


def test_sqid_urls_are_read_at_full_size_and_missing_ones_rejected(tmp_path: Path) -> None:
    lines = [
        "product_id,image_url",
        "B1,https://m.media-amazon.com/images/I/81Q8K._SY385_.jpg",
        "B2,",
        ",https://m.media-amazon.com/images/I/81Q8K.jpg",
        "B3,https://m.media-amazon.com/images/G/01/x/Default_Background_Art_LTR._SX1080_FMjpg_.jpg",
        "B4",
    ]
    (tmp_path / "urls.csv").write_text("\r\n".join(lines), encoding="utf-8")
    (batch,) = parse_file(SQID, source_files(SQID, tmp_path)[0])
    assert batch.tables["product_images"].to_pylist() == [
        {"product_id": "esci:B1", "image_url": "https://m.media-amazon.com/images/I/81Q8K.jpg"}
    ]
    assert [(r.reason, r.origin, r.record_id) for r in batch.rejections] == [
        ("missing_url", "urls.csv:3", "esci:B2"),
        ("missing_id", "urls.csv:4", ""),
        ("placeholder_url", "urls.csv:5", "esci:B3"),
        ("bad_row", "urls.csv:6", ""),
    ]
    assert (batch.records, batch.kept) == (5, 1)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_copy_that_joins_both_files_is_read_as_either(tmp_path: Path, suffix: str) -> None:
    """Some copies on the Hub have spelled-out labels, no split and no colour."""
    path = tmp_path / f"joined{suffix}"
    rows = [
        {name: value for name, value in (EXAMPLE | PRODUCT).items() if name not in ("split", "product_color")}
        | {"product_id": f"B{number}", "esci_label": label}
        for number, label in enumerate(["Exact", "Substitute", "Complement", "Irrelevant"])
    ]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    source = EsciSource(kind="esci", examples=path.name, products=path.name)
    tables = {}
    for file in source_files(source, tmp_path):
        (batch,) = parse_file(source, file)
        assert batch.rejections == []
        tables |= batch.tables
    assert tables["judgements"]["label"].to_pylist() == ["E", "S", "C", "I"]
    assert tables["judgements"]["source_split"].to_pylist() == [None] * 4
    assert tables["products"]["title"].to_pylist() == ["Mug & Saucer"] * 4
    assert tables["products"]["color"].to_pylist() == [None] * 4


def test_kinds_of_queries_are_read_where_the_recipe_names_their_file(tmp_path: Path) -> None:
    (tmp_path / "sources.csv").write_text("query_id,source\n0,other\n1,negations\n,x\n3,\n", encoding="utf-8")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "e.parquet")
    source = EsciSource(kind="esci", examples="e.parquet", products="e.parquet", sources="sources.csv")
    file = source_files(source, tmp_path)[-1]
    assert file.role == "sources"
    (batch,) = parse_file(source, file)
    assert batch.tables["query_kinds"].to_pylist() == [
        {"query_id": "esci:0", "kind": "other"},
        {"query_id": "esci:1", "kind": "negations"},
    ]
    assert [r.reason for r in batch.rejections] == ["missing_id", "missing_kind"]


def test_image_urls_are_read_from_parquet_too(tmp_path: Path) -> None:
    url = "https://m.media-amazon.com/images/I/a._AC_SX425_.jpg"
    pq.write_table(
        pa.table({"product_id": ["B1", "B2", None, "B4"], "image_url": [url, None, url, "no url"]}),
        tmp_path / "urls.parquet",
    )
    source = SqidSource(kind="sqid", path="urls.parquet")
    (batch,) = parse_file(source, source_files(source, tmp_path)[0])
    assert batch.tables["product_images"].to_pylist() == [
        {"product_id": "esci:B1", "image_url": "https://m.media-amazon.com/images/I/a.jpg"}
    ]
    assert [r.reason for r in batch.rejections] == ["missing_url", "missing_id", "missing_url"]


def test_a_time_that_no_calendar_has_costs_that_row(tmp_path: Path) -> None:
    """Some pipelines write bad values into a column of times; the other rows are kept."""
    days = pa.array([0, 2**31 - 1, 1], pa.int32()).view(pa.date32())
    columns = {name: pa.array([value] * 3) for name, value in EXAMPLE.items()} | {"split": days}
    pq.write_table(pa.table(columns), tmp_path / "examples.parquet")
    source = EsciSource(kind="esci", examples="examples.parquet", products="examples.parquet")
    (batch,) = parse_file(source, source_files(source, tmp_path)[0])
    assert batch.tables["judgements"]["source_split"].to_pylist() == ["1970-01-01", "1970-01-02"]
    assert [(r.reason, r.origin) for r in batch.rejections] == [("bad_row", "examples.parquet:2")]


def test_a_parquet_column_name_that_is_not_utf8_is_an_error(
    tmp_path: Path,
) -> None:
    pq.write_table(
        pa.table({"product_id": ["B1"], "image_url": ["x"], "column": [1]}), tmp_path / "urls.parquet"
    )
    content = (tmp_path / "urls.parquet").read_bytes()
    (tmp_path / "urls.parquet").write_bytes(content.replace(b"column", b"c\xdfl\xffmn"))
    source = SqidSource(kind="sqid", path="urls.parquet")
    (file,) = source_files(source, tmp_path)
    assert file_parts(source, file) == []
    with pytest.raises(SourceError, match=r"urls\.parquet: not readable as Parquet"):
        list(parse_file(source, file))


def test_a_row_whose_text_is_not_utf8_costs_that_row(tmp_path: Path) -> None:
    texts = pa.array([b"mug", b"caf\xe9", b"hose"]).view(pa.string())
    columns = {name: pa.array([value] * 3) for name, value in PRODUCT.items()} | {"product_title": texts}
    pq.write_table(pa.table(columns), tmp_path / "products.parquet")
    source = EsciSource(kind="esci", examples="products.parquet", products="products.parquet")
    (batch,) = parse_file(source, source_files(source, tmp_path)[1])
    assert batch.tables["products"]["title"].to_pylist() == ["mug", "hose"]
    assert [(r.reason, r.origin) for r in batch.rejections] == [("not_utf8", "products.parquet:2")]
