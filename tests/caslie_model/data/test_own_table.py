from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caslie_model.data.own_table import OwnMapping, read_own_table
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import MmecError, RecipeError, SourceError
from mmecinstruct.sources.settings import ProductMapping

MAPPING = ProductMapping(path="table", id="sku", title="name", images="pics", category="cats")
CSV = """sku,name,pics,search,choice
1,"Lovely
mug",a.jpg|b.jpg,red mug,mugs|cups|mugs
2,,a.jpg,lamp,lamps
,Bright lamp,,lamp,lamps
2,Bright lamp,,,
2,Bright lamp again,,lamp,lamps
3,too,few
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_row_is_returned_and_rejected_ones_have_a_reason(tmp_path: Path) -> None:
    rows = read_own_table(write(tmp_path / "t.csv", CSV), MAPPING, {})
    assert [(row.line, row.id, row.title, row.reason.partition(":")[0]) for row in rows] == [
        (2, "1", "Lovely mug", ""),
        (4, "2", "", "missing_title"),
        (5, "", "", "missing_id"),
        (6, "2", "Bright lamp", ""),
        (7, "2", "Bright lamp again", "repeated_id"),
        (8, "", "", "bad_row"),
    ]
    assert rows[0].images == ("a.jpg", "b.jpg")


def test_further_columns_are_read_beside_the_mapped_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", CSV)
    columns = {"query": "search", "options": "choice"}
    rows = {row.line: row.cells for row in read_own_table(path, MAPPING, columns, several=("options",))}
    assert rows[2] == {"query": ("red mug",), "options": ("mugs", "cups")}
    assert rows[6] == {"query": (), "options": ()}


def test_columns_that_no_question_needs_may_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "sku,name\n1,Mug\n")
    assert read_own_table(path, MAPPING, {}, with_images=False)[0].title == "Mug"
    with pytest.raises(SourceError, match="pics"):
        read_own_table(path, MAPPING, {})


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet"])
def test_other_formats_give_the_same_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "tsv":
        write(path, "id\tTitle\timages\n1\tMug\ta.jpg|b.jpg\n2\t\t\n")
    elif ending == "jsonl":
        write(path, '{"id": 1, "Title": "Mug", "images": ["a.jpg", "b.jpg"]}\n{"id": 2}\n')
    else:
        images = pa.array([["a.jpg", "b.jpg"], None])
        pq.write_table(pa.table({"id": [1, 2], "Title": ["Mug", None], "images": images}), path)
    rows = read_own_table(path, None, {})
    assert [(row.id, row.title, row.images) for row in rows] == [
        ("1", "Mug", ("a.jpg", "b.jpg")),
        ("2", "", ()),
    ]
    assert rows[1].reason.startswith("missing_title")


def test_a_table_of_reviews_needs_no_titles(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,text\n1,Good\n2,Bad\n")
    rows = read_own_table(path, None, {"review": "text"}, titled=False)
    assert [row.cells["review"] for row in rows] == [("Good",), ("Bad",)]
    with pytest.raises(SourceError, match="no column title; it has id, text"):
        read_own_table(path, None, {})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "", "the file is empty"),
        ("t.csv", "id,title\n", "no row"),
        ("t.csv", "id,title\n1\n", "no row that can be read"),
        ("t.xlsx", "PK", "no reader for '.xlsx'"),
        ("t.csv", "id;title\n1;x\n", "no column id and title|semicolons"),
        ("t.jsonl", "[{}]", "JSON list"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_own_table(write(tmp_path / name, text), None, {})


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file"):
        read_own_table(tmp_path / "gone.csv", None, {})
    path = write(tmp_path / "t.csv", "id,title\n1,Mug\n")
    with pytest.raises(SourceError, match=r"no column 'words' \(query\); it has id, title"):
        read_own_table(path, None, {"query": "words"})


BLOCK = "id: sku\ntitle: name\nlist_separator: ';'\n"


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        "products:\n  path: export/*.csv\n  id: sku\n  title: name\n  list_separator: ';'\n",
        "name: x\nsources:\n- kind: catalog\n  products: {path: p.csv, id: sku, title: name, list_separator: ';'}\n",
    ],
)
def test_a_mapping_is_a_recipe_its_block_or_the_fields_of_that(tmp_path: Path, text: str) -> None:
    mapping = OwnMapping.read(write(tmp_path / "m.yaml", text)).products
    assert mapping is not None
    assert (mapping.id, mapping.title, mapping.list_separator) == ("sku", "name", ";")


def test_a_mapping_may_say_how_images_are_found_and_fetched(tmp_path: Path) -> None:
    text = (
        "products: {id: sku, title: name}\nimages: {max_pixels: 100}\nfetch: {enabled: true, contact: me}\n"
    )
    mapping = OwnMapping.read(write(tmp_path / "m.yaml", text))
    assert (mapping.images.max_pixels, mapping.fetch.enabled) == (100, True)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("titel: name\nid: sku\n", ConfigError, "titel"),
        ("- a\n", ConfigError, "a mapping of fields to columns"),
        ("a: [", ConfigError, "m.yaml"),
        ("products: 3\n", ConfigError, "products"),
        ("name: x\nsources:\n- {kind: sqid, path: a.csv}\n", ConfigError, "no source of kind catalog"),
        ("sources: 3\n", RecipeError, "not a valid recipe"),
    ],
)
def test_a_mapping_that_is_not_valid_says_why(
    tmp_path: Path, text: str, kind: type[MmecError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        OwnMapping.read(write(tmp_path / "m.yaml", text))
    with pytest.raises(ConfigError, match="there is no such file"):
        OwnMapping.read(tmp_path / "gone.yaml")
