"""A user's own tables: CSV, JSON lines and Parquet through the recipe's mapping."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources import ParsedBatch, parse_file, source_files
from mmecinstruct.sources.settings import CatalogSource

PRODUCTS = {
    "path": "products.csv",
    "id": "sku",
    "title": "name",
    "brand": "maker",
    "category": "path",
    "category_stop": ["Promotions"],
    "description": "text",
    "price": "price",
    "currency_code": "USD",
    "color": "color",
    "features": "material",
    "images": "images",
}
HEADER = "sku,name,maker,path,text,price,color,material,images\n"


def parse(tmp_path: Path, mappings: dict[str, Any], role: str = "products") -> ParsedBatch:
    if "products" not in mappings:
        (tmp_path / "p.csv").write_text("i,t\n", encoding="utf-8")
        mappings = {"products": {"path": "p.csv", "id": "i", "title": "t"}, **mappings}
    source = CatalogSource.model_validate({"kind": "catalog", "prefix": "shop", **mappings})
    file = next(f for f in source_files(source, tmp_path) if f.role == role)
    (batch,) = parse_file(source, file)
    return batch


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def test_a_product_may_name_the_group_of_its_variants(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", "sku,name,parent\nA-S,Coat S,A\nA-M,Coat M,A\nB,Hat, \n")
    mapping = {"path": "p.csv", "id": "sku", "title": "name", "group": "parent"}
    table = parse(tmp_path, {"products": mapping}).tables["products"]
    assert table["group_id"].to_pylist() == ["shop:A", "shop:A", None]


def test_a_product_is_read_from_csv(tmp_path: Path) -> None:
    row = (
        'B-1,Duffle &amp; Bag,Luma,Gear > Bags > Promotions > New,"<p>Roomy.\n</p>",'
        '"1,034.50",Blue|Grey,Nylon|Wool,images/a.jpg| images/b.jpg|images/a.jpg\n'
    )
    write(tmp_path / "products.csv", "\ufeff" + HEADER + row)
    assert parse(tmp_path, {"products": PRODUCTS}).tables["products"].to_pylist() == [
        {
            "product_id": "shop:B-1",
            "source": "shop",
            "title": "Duffle & Bag",
            "brand": "Luma",
            "category": "Gear",
            "category_path": ["Gear", "Bags"],
            "description": "Roomy.",
            "features": ["Nylon", "Wool"],
            "price": 1034.5,
            "currency": "USD",
            "color": "Blue Grey",
            "image_urls": ["images/a.jpg", "images/b.jpg"],
            "group_id": None,
            "origin": "products.csv:2",
        }
    ]


@pytest.mark.parametrize(
    ("cell", "mapping", "paths"),
    [
        ("Gear > Bags, Sale", {}, [["Gear", "Bags, Sale"]]),
        ("Gear > Bags, Sale", {"category_list_separator": ","}, [["Gear", "Bags"], ["Sale"]]),
        (
            r"Kitchen > Cups\, small, Sale",
            {"category_list_separator": ","},
            [["Kitchen", "Cups, small"], ["Sale"]],
        ),
        ("Gear|Gear > Bags|gear > BAGS", {"category_list_separator": "|"}, [["Gear", "Bags"]]),
        (
            r"Default Category/A\/B,Default Category,Default Category/Gear/Bags,Default Category/Gear",
            {"category_list_separator": ",", "category_separator": "/"},
            [["A/B"], ["Gear", "Bags"]],
        ),
        (
            "All/Gear,All/Sale",
            {"category_list_separator": ",", "category_separator": "/", "category_root": ["ALL"]},
            [["Gear"], ["Sale"]],
        ),
        ("Default Category", {}, []),
        ("Gear > Promotions > New | Sale", {"category_list_separator": "|"}, [["Gear"], ["Sale"]]),
        (["Gear", "Bags"], {}, [["Gear", "Bags"]]),
        (["Gear > Bags", "Sale"], {}, [["Gear", "Bags"], ["Sale"]]),
        ([["Gear", "Bags"], ["Sale"]], {}, [["Gear", "Bags"], ["Sale"]]),
        (["Gear", "Sale"], {"category_list_separator": ","}, [["Gear"], ["Sale"]]),
        ([], {"category_list_separator": ","}, []),
        (None, {"category_list_separator": ","}, []),
    ],
)
def test_a_product_lies_in_the_categories_of_its_cell(
    tmp_path: Path, cell: object, mapping: dict[str, Any], paths: list[list[str]]
) -> None:
    write(tmp_path / "products.json", json.dumps({"id": "1", "title": "Mug", "category": cell}))
    columns = {"path": "products.json", "id": "id", "title": "title", "category": "category"}
    tables = parse(tmp_path, {"products": columns | {"category_stop": ["Promotions"]} | mapping}).tables
    (product,) = tables["products"].to_pylist()
    others = tables["category_labels"].to_pylist()
    first, *more = paths or [[]]
    assert (product["category"], product["category_path"]) == (first[0] if first else None, first)
    assert others == [{"product_id": "shop:1", "fine_category": None, "category_path": path} for path in more]


def test_each_of_several_columns_gives_categories(tmp_path: Path) -> None:
    write(tmp_path / "products.csv", "id,title,main,extra\n1,Mug,Kitchen > Mugs,Gifts\n2,Pot,,Gifts\n")
    columns = {"path": "products.csv", "id": "id", "title": "title", "category": ["main", "extra"]}
    tables = parse(tmp_path, {"products": columns}).tables
    assert tables["products"]["category_path"].to_pylist() == [["Kitchen", "Mugs"], ["Gifts"]]
    assert tables["category_labels"]["category_path"].to_pylist() == [["Gifts"]]
    with pytest.raises(SourceError, match=r"no column 'more' \(recipe field products\.category\[1\]"):
        parse(tmp_path, {"products": columns | {"category": ["main", "more"]}})


def test_the_same_product_is_read_from_every_format(tmp_path: Path) -> None:
    row = {
        "sku": 7,
        "name": "Bag",
        "maker": "Luma",
        "path": ["Gear", "Bags", "Promotions"],
        "text": "Roomy.",
        "price": 34,
        "color": "Blue",
        "material": ["Nylon"],
        "images": ["a.jpg", "https://shop.example/b.jpg"],
    }
    write(tmp_path / "products.jsonl", json.dumps(row) + "\n")
    pq.write_table(pa.Table.from_pylist([row | {"unused": 1}]), tmp_path / "products.parquet")
    line = "7,Bag,Luma,Gear>Bags,Roomy.,34,Blue,Nylon,a.jpg|https://shop.example/b.jpg\n"
    (tmp_path / "products.csv.gz").write_bytes(gzip.compress((HEADER + line).encode()))
    write(tmp_path / "products.tsv", (HEADER + line).replace(",", "\t"))
    results = [
        parse(tmp_path, {"products": PRODUCTS | {"path": f"products.{ending}"}})
        .tables["products"]
        .drop_columns("origin")
        .to_pylist()
        for ending in ("jsonl", "parquet", "csv.gz", "tsv")
    ]
    assert results[0][0]["product_id"] == "shop:7"
    assert all(result == results[0] for result in results)


def test_a_rejection_names_the_line_on_which_its_row_begins(tmp_path: Path) -> None:
    mapping = {"path": "products.csv", "id": "sku", "title": "name"}
    content = (
        'sku,name\nA,"two\nlines"\n\nB,\n,Nameless\nC,"<td\n>"\nD,Mug,extra\nE\nF,a "b" c\nG,"x"y\nH,Hat\n'
    )
    write(tmp_path / "products.csv", content)
    batch = parse(tmp_path, {"products": mapping})
    assert [(r.reason, r.origin, r.record_id) for r in batch.rejections] == [
        ("missing_title", "products.csv:5", "shop:B"),
        ("missing_id", "products.csv:6", ""),
        ("title_not_text", "products.csv:7", "shop:C"),
        ("bad_row", "products.csv:9", ""),
        ("bad_row", "products.csv:10", ""),
        ("bad_row", "products.csv:12", ""),
    ]
    assert batch.tables["products"]["title"].to_pylist() == ["two lines", 'a "b" c', "Hat"]


def test_a_row_that_is_not_utf8_is_rejected_and_the_others_kept(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_bytes(b"sku,name\nA,caf\xe9\nB,tea\n")
    batch = parse(tmp_path, {"products": {"path": "products.csv", "id": "sku", "title": "name"}})
    assert [(r.reason, r.origin) for r in batch.rejections] == [("not_utf8", "products.csv:2")]
    assert batch.tables["products"]["product_id"].to_pylist() == ["shop:B"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_missing_column_names_file_field_and_present_columns(tmp_path: Path, ending: str) -> None:
    rows = [{"sku": "A", "titel": "Mug"}]
    path = tmp_path / f"products.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write(path, json.dumps(rows[0]) if ending == "jsonl" else "sku,titel\nA,Mug\n")
    mapping = {"path": path.name, "id": "sku", "title": "name"}
    with pytest.raises(
        SourceError, match=r"products\.\w+: .*'name' \(recipe field products\.title\).*sku, titel"
    ):
        parse(tmp_path, {"products": mapping})


def test_a_json_key_may_be_absent_from_single_lines(tmp_path: Path) -> None:
    write(tmp_path / "p.jsonl", '{"sku": "A", "name": "Mug"}\n{"sku": "B", "name": "Hat", "color": "red"}\n')
    batch = parse(tmp_path, {"products": {"path": "p.jsonl", "id": "sku", "title": "name", "color": "color"}})
    assert batch.tables["products"]["color"].to_pylist() == [None, "red"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "empty"),
        ("p.csv", "sku,name,name\nA,Mug,Hat\n", "several columns 'name'"),
        ("p.csv", "sku;name\nA;Mug\n", "semicolons; save it with commas"),
        ("p.csv", "sku,name\rA,Mug\r", "carriage returns alone; save it with line feeds"),
        ("p.csv", "sku,n\udce4me\nA,Mug\n", "not UTF-8: .*; save it as UTF-8"),
        ("p.json", '[\n{"sku": "A", "name": "Mug"}]', "JSON list"),
        ("p.xlsx", "x", "no reader for '.xlsx'"),
        ("p.parquet", "x", "Parquet"),
    ],
)
def test_a_file_of_another_form_is_an_error_with_a_remedy(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=message):
        parse(tmp_path, {"products": {"path": name, "id": "sku", "title": "name"}})


def test_relations_take_the_shops_words(tmp_path: Path) -> None:
    write(tmp_path / "links.csv", "a,kind,b\nA,cross,B\nA,up,B\nA,other,B\nA,up,A\nA,up,\n")
    mapping = {
        "path": "links.csv",
        "product": "a",
        "linked_product": "b",
        "relation": "kind",
        "names": {"cross": "also_bought", "up": "similar"},
    }
    batch = parse(tmp_path, {"relations": mapping}, "relations")
    assert batch.tables["relations"].to_pylist() == [
        {"product_a": "shop:A", "product_b": "shop:B", "relation": "also_bought", "origin": "links.csv:2"},
        {"product_a": "shop:A", "product_b": "shop:B", "relation": "similar", "origin": "links.csv:3"},
    ]
    assert [r.reason for r in batch.rejections] == ["unmapped_relation", "self_relation", "missing_id"]


def test_reviews_have_their_own_id_or_one_of_their_row(tmp_path: Path) -> None:
    write(
        tmp_path / "reviews.csv",
        "key,item,stars,words,who,when\n"
        "r1,A,5,Good &amp; cheap,ann,2024-05-01T12:00:00+02:00\n"
        ",A,1.0,,,\n"
        ",A,6,Great,,\n"
        ",,5,Great,,\n"
        ",A,5,Great,,yesterday\n",
    )
    mapping = {
        "path": "reviews.csv",
        "product": "item",
        "rating": "stars",
        "text": "words",
        "id": "key",
        "user": "who",
        "timestamp": "when",
    }
    batch = parse(tmp_path, {"reviews": mapping}, "reviews")
    rows = batch.tables["reviews"].select(
        ["review_id", "product_id", "user_id", "rating", "text", "timestamp"]
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("shop:r1", "shop:A", "shop:ann", 5, "Good & cheap", 1714557600),
        ("shop:review:reviews.csv:3", "shop:A", None, 1, "", None),
        ("shop:review:reviews.csv:6", "shop:A", None, 5, "Great", None),
    ]
    assert [r.reason for r in batch.rejections] == ["bad_rating", "missing_id"]
    assert batch.unread == {"times": (1, "'yesterday'", "reviews.csv:6")}


def test_times_may_be_days_or_moments_of_a_parquet_file(tmp_path: Path) -> None:
    day = datetime(2024, 5, 1, 12, tzinfo=UTC)
    mapping = {
        "path": "r.parquet",
        "product": "item",
        "rating": "stars",
        "text": "words",
        "timestamp": "when",
    }
    for times in (
        pa.array([day.date()], pa.date32()),
        pa.array([day], pa.timestamp("ns")),
        pa.array([day], pa.timestamp("ms", "+05:00")),
        pa.array(["2024-05-01"]),
    ):
        table = pa.table({"item": ["A"], "stars": [5], "words": ["Good"], "when": times})
        pq.write_table(table, tmp_path / "r.parquet")
        batch = parse(tmp_path, {"reviews": mapping}, "reviews")
        (seconds,) = batch.tables["reviews"]["timestamp"].to_pylist()
        assert seconds == day.timestamp() - (0 if pa.types.is_timestamp(times.type) else 12 * 3600)


def test_a_gap_in_the_times_is_no_bad_time(tmp_path: Path) -> None:
    mapping = {"path": "r.jsonl", "product": "item", "rating": "stars", "text": "words", "timestamp": "when"}
    times = ["null", '""', '" "', "NaN", "[]", '"soon"', "true"]
    lines = [f'{{"item": "A", "stars": 5, "words": "Good", "when": {time}}}\n' for time in times]
    write(tmp_path / "r.jsonl", "".join(lines))
    batch = parse(tmp_path, {"reviews": mapping}, "reviews")
    assert batch.tables["reviews"]["timestamp"].to_pylist() == [None] * 7
    assert batch.unread == {"times": (3, "[]", "r.jsonl:5")}


def test_questions_are_read(tmp_path: Path) -> None:
    write(
        tmp_path / "q.csv",
        "item,ask,said,ok\nA,Does it float?,It floats.|Fun.,no\nA,,x,yes\nA,Why?,x,maybe\n",
    )
    mapping = {"path": "q.csv", "product": "item", "question": "ask", "document": "said", "answerable": "ok"}
    batch = parse(tmp_path, {"questions": mapping}, "questions")
    assert batch.tables["questions"].to_pylist() == [
        {
            "question_id": "shop:question:q.csv:2",
            "product_id": "shop:A",
            "category": None,
            "question": "Does it float?",
            "document": ["It floats.", "Fun."],
            "answerable": False,
            "origin": "q.csv:2",
        }
    ]
    assert [r.reason for r in batch.rejections] == ["missing_text", "bad_label"]


def test_judgements_of_one_query_text_share_a_query_id(tmp_path: Path) -> None:
    write(
        tmp_path / "j.csv",
        "q,item,rel\nRed mug,A,E\n red  MUG,B,Substitute\nhat,A,I\n,A,E\nhat,A,X\nhat,,E\n",
    )
    mapping = {"path": "j.csv", "query": "q", "product": "item", "label": "rel"}
    batch = parse(tmp_path, {"judgements": mapping}, "judgements")
    rows = batch.tables["judgements"].to_pylist()
    assert [(row["query"], row["label"]) for row in rows] == [
        ("Red mug", "E"),
        ("red MUG", "S"),
        ("hat", "I"),
    ]
    assert rows[0]["query_id"] == rows[1]["query_id"] != rows[2]["query_id"]
    assert rows[0]["query_id"].startswith("shop:query:")
    assert [r.reason for r in batch.rejections] == ["missing_text", "bad_label", "missing_id"]


def test_a_shop_has_grades_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "j.csv", "q,item,rel\nmug,A,1.0\nmug,B,0.1\nmug,C,1\nmug,D,E\n")
    mapping = {"path": "j.csv", "query": "q", "product": "item", "label": "rel"}
    names = {"1.0": "E", "0.1": "S"}
    batch = parse(tmp_path, {"judgements": {**mapping, "names": names}}, "judgements")
    assert batch.tables["judgements"]["label"].to_pylist() == ["E", "S", "E"]
    assert [r.detail for r in batch.rejections] == ["'E' is not in judgements.names of the recipe"]
    write(
        tmp_path / "j.jsonl", "\n".join(json.dumps({"q": "mug", "item": "A", "rel": n}) for n in (3, 2.0, 0))
    )
    batch = parse(
        tmp_path,
        {"judgements": {**mapping, "path": "j.jsonl", "names": {"3": "E", "2": "S", "0": "I"}}},
        "judgements",
    )
    assert batch.tables["judgements"]["label"].to_pylist() == ["E", "S", "I"]


def test_given_query_ids_are_used(tmp_path: Path) -> None:
    write(tmp_path / "j.csv", "k,q,item,rel\n7,mug,A,E\n")
    mapping = {"path": "j.csv", "query_id": "k", "query": "q", "product": "item", "label": "rel"}
    batch = parse(tmp_path, {"judgements": mapping}, "judgements")
    assert batch.tables["judgements"]["query_id"].to_pylist() == ["shop:7"]
