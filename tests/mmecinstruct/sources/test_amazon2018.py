"""Amazon 2018 metadata and reviews, in each of their schemas and with their dirt."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.pipeline.assemble import published_record_id
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.sources import amazon2018, parse_file, source_files
from mmecinstruct.sources.readers.batches import BATCH_RECORDS
from mmecinstruct.sources.settings import AmazonMetadata, AmazonReviews

HOST = "https://images-na.ssl-images-amazon.com/images/I"
ROW: dict[str, Any] = {
    "category": ["Tools &amp; Home Improvement", "Lamps", "No assembly, no tools.", "Lost"],
    "description": ["<p>Bright.</p>", "", "Warm."],
    "fit": "",
    "title": "Table Lamp &amp; Shade",
    "also_buy": ["B000000002", "B000000002", "B000000001", "B000000003"],
    "brand": "Visit Amazon's Lumen Page",
    "feature": ["Brass &amp; glass", ""],
    "rank": [">#3 in Tools"],
    "also_view": ["B000000004"],
    "details": {"ASIN: ": "B000000001"},
    "main_cat": "Tools & Home Improvement",
    "similar_item": "",
    "price": "$19.99",
    "asin": "B000000001",
    "imageURL": [f"{HOST}/a1._SX38_SY50_CR,0,0,38,50_.jpg"],
    "imageURLHighRes": [f"{HOST}/a1.jpg"],
}


REVIEWER = "A3U4E9PIZ8OWH1"


def parse(
    tmp_path: Path, kind: type[AmazonMetadata] | type[AmazonReviews], lines: Iterable[dict[str, Any] | str]
) -> tuple[dict[str, list[dict[str, Any]]], list[Rejection]]:
    """Write lines to a file, parse it, return rows by table and the rejections."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    (tmp_path / "file.json").write_text("\n".join(texts) + "\n", encoding="utf-8")
    name = "amazon18_metadata" if kind is AmazonMetadata else "amazon18_reviews"
    source = kind.model_validate({"kind": name, "path": "file.json"})
    rows: dict[str, list[dict[str, Any]]] = {}
    rejections: list[Rejection] = []
    for batch in parse_file(source, source_files(source, tmp_path)[0]):
        for table_name, table in batch.tables.items():
            assert table.schema == RAW_TABLES[table_name]
            rows.setdefault(table_name, []).extend(table.to_pylist())
        rejections += batch.rejections
    return rows, rejections


def test_a_product_is_read_and_cleaned(tmp_path: Path) -> None:
    rows, rejections = parse(tmp_path, AmazonMetadata, [ROW])
    assert rejections == []
    assert rows["products"] == [
        {
            "product_id": "amazon18:B000000001",
            "source": "amazon18",
            "title": "Table Lamp & Shade",
            "brand": "Lumen",
            "category": "Tools & Home Improvement",
            "category_path": ["Tools & Home Improvement", "Lamps"],
            "description": "Bright. Warm.",
            "features": ["Brass & glass"],
            "price": 19.99,
            "currency": "USD",
            "color": None,
            "image_urls": [f"{HOST}/a1.jpg"],
            "group_id": None,
            "origin": "file.json:1",
        }
    ]


def test_relations_name_each_other_product_once(tmp_path: Path) -> None:
    rows, _ = parse(tmp_path, AmazonMetadata, [ROW])
    assert [(r["product_a"], r["product_b"], r["relation"]) for r in rows["relations"]] == [
        ("amazon18:B000000001", "amazon18:B000000002", "also_bought"),
        ("amazon18:B000000001", "amazon18:B000000003", "also_bought"),
        ("amazon18:B000000001", "amazon18:B000000004", "also_viewed"),
    ]


def test_the_fast_search_for_similar_items_equals_the_full_pattern() -> None:
    pieces = [
        "asin",
        "ASIN",
        "Asin",
        "=",
        ":",
        '"',
        "&quot;",
        "&#34;",
        " ",
        "x",
        "/",
        "/dp/",
        "/ASIN/",
        "/gp/aw/d/",
    ]
    pieces += ["B000000001", "b000000001", "B00000ASIN", "ASINASINAS", "AASIN"]
    noise, found = random.Random(3), 0
    for number in range(40_000):
        more = ["é", "İ"] if number % 8 == 0 else []
        html = "".join(noise.choices(pieces + more, k=noise.randrange(2, 14)))
        expected = amazon2018._ASIN_IN_HTML.findall(html)
        assert amazon2018._asins_in_html(html) == expected, html
        found += len(expected)
    assert found > 2_000
    html = "asin=xxxxxxasin=B000000001 /dp/B00000ASIN=B000000002 data-Asin: 'B000000003'"
    assert amazon2018._asins_in_html(html) == ["B000000001", "B00000ASIN", "B000000003"]


@pytest.mark.parametrize(
    "mention",
    [
        '<td data-asin="B0SIMILAR1">',
        "<td asin='B0SIMILAR1'>",
        '<a class="x" href="/Some-Name/dp/B0SIMILAR1/ref=psdc">',
        '<a href="https://www.amazon.com/gp/product/B0SIMILAR1?th=1">',
        '{"asin":"B0SIMILAR1"}',
        "{&quot;asin&quot;:&quot;B0SIMILAR1&quot;}",
        '<a href="/gp/product/compare?asin=B0SIMILAR1&amp;ref=x">',
        '<a href="/gp/aw/d/B0SIMILAR1">',
        '<a href="/exec/obidos/ASIN/B0SIMILAR1/ref=nosim">',
    ],
)
def test_similar_items_are_found_in_the_comparison_table(tmp_path: Path, mention: str) -> None:
    table = f'<table id="HLCXComparisonTable"><th data-asin="B000000001"></th>{mention * 2}</table>'
    rows, _ = parse(tmp_path, AmazonMetadata, [ROW | {"similar_item": table}])
    similar = [r["product_b"] for r in rows["relations"] if r["relation"] == "similar"]
    assert similar == ["amazon18:B0SIMILAR1"]


def test_links_of_other_types_cost_only_themselves(tmp_path: Path) -> None:
    links = [None, 5, "", "B000000002", ["B000000003"], {"a": 1}, "B000000004", "B000000002", ROW["asin"]]
    rows, rejections = parse(
        tmp_path,
        AmazonMetadata,
        [ROW | {"also_buy": links, "also_view": "B000000005", "similar_item": ["B0SIMILAR1"]}],
    )
    assert rejections == []
    assert [r["product_b"] for r in rows["relations"]] == ["amazon18:B000000002", "amazon18:B000000004"]


def test_a_link_with_a_line_break_is_dropped_alone(tmp_path: Path) -> None:
    rows, rejections = parse(
        tmp_path,
        AmazonMetadata,
        [
            ROW | {"also_buy": ["B000000002\nB000000003", "B000000004"], "also_view": ["\n"]},
            ROW | {"asin": "B000000009", "also_buy": ["B000000002"], "also_view": []},
        ],
    )
    assert rejections == []
    assert [(r["product_a"], r["product_b"]) for r in rows["relations"]] == [
        ("amazon18:B000000001", "amazon18:B000000004"),
        ("amazon18:B000000009", "amazon18:B000000002"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "column", "expected"),
    [
        ("price", "$1,299.00", "price", 1299.0),
        ("price", "$5.00 - $7.00", "price", 5.0),
        ("price", "   \n <div class='a'>$5</div>", "price", None),
        ("price", "<script>$5</script>", "price", None),
        ("price", "$" + "9" * 400, "price", None),
        ("brand", "Visit the Lumen Store", "brand", "Lumen"),
        ("brand", "Black &amp; Decker", "brand", "Black & Decker"),
        ("brand", ["Lumen"], "brand", None),
        ("category", ["Gift Cards", "No expiration, no fees."], "category_path", ["Gift Cards"]),
        ("category", ["Beauty &amp; Health", "</span></span></span>"], "category_path", ["Beauty & Health"]),
        (
            "imageURLHighRes",
            [f"//{HOST[8:]}/b%2BC._SL10_.jpg", "data:image/png;base64,AA", "b.jpg"],
            "image_urls",
            None,
        ),
    ],
)
def test_the_measured_dirt_of_single_fields(
    tmp_path: Path, field: str, value: object, column: str, expected: object
) -> None:
    rows, _ = parse(tmp_path, AmazonMetadata, [ROW | {field: value}])
    if column == "image_urls":
        expected = [f"{HOST}/b%2BC.jpg", f"{HOST}/a1.jpg"]
    assert rows["products"][0][column] == expected


def test_no_rejection_names_a_user_but_in_a_reviews_id(tmp_path: Path) -> None:
    broken = json.dumps({"reviewerID": REVIEW["reviewerID"], **REVIEW})[:-1]
    _, rejections = parse(
        tmp_path, AmazonReviews, [REVIEW | {"asin": None}, REVIEW | {"overall": 9}, broken, f"[{broken}}}]"]
    )
    assert [r.reason for r in rejections] == ["missing_id", "bad_rating", "broken_json", "not_an_object"]
    assert not any(REVIEW["reviewerID"] in r.detail for r in rejections)
    assert published_record_id("curate_reviews", rejections[1].record_id) != rejections[1].record_id


@pytest.mark.parametrize(
    "change",
    [
        {"unixReviewTime": "2014-02-26T10:00:00"},
        {"reviewerID": f"x:{REVIEWER}"},
        {"reviewerID": f"{REVIEWER}:x"},
        {"asin": "B1:B2"},
    ],
)
def test_a_colon_in_a_reviews_id_does_not_let_its_user_be_published(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    _, (rejection,) = parse(tmp_path, AmazonReviews, [REVIEW | {"overall": 9} | change])
    published = published_record_id("parse", rejection.record_id)
    assert REVIEWER in rejection.record_id
    assert REVIEWER not in published
    assert published.startswith("amazon18:B")
    assert published_record_id("curate_products", "amazon18:B000000001") == "amazon18:B000000001"


def test_the_older_image_schema_gives_the_same_images(tmp_path: Path) -> None:
    older = {name: value for name, value in ROW.items() if not name.startswith("imageURL")}
    rows, _ = parse(tmp_path, AmazonMetadata, [older | {"image": ROW["imageURL"]}])
    assert rows["products"][0]["image_urls"] == [f"{HOST}/a1.jpg"]


def test_a_python_literal_of_2014_is_read_by_the_same_rules(tmp_path: Path) -> None:
    line = {
        "asin": "0001048791",
        "title": "Lamp's",
        "price": 9.5,
        "imUrl": f"{HOST}/b2._SY300_.jpg",
        "related": {"also_bought": ["B000000002"], "also_viewed": ["B000000004"]},
        "categories": [["Books", "Novels"], ["Audio"]],
        "description": "Bright.",
    }
    rows, rejections = parse(tmp_path, AmazonMetadata, [repr(line)])
    assert rejections == []
    product = rows["products"][0]
    assert (product["title"], product["price"], product["category_path"]) == (
        "Lamp's",
        9.5,
        ["Books", "Novels"],
    )
    assert product["image_urls"] == [f"{HOST}/b2.jpg"]
    assert {r["relation"] for r in rows["relations"]} == {"also_bought", "also_viewed"}


def test_the_main_category_replaces_an_empty_path_unless_it_is_a_tag(tmp_path: Path) -> None:
    lines = [ROW | {"category": []}, ROW | {"category": [], "main_cat": '<img src="https://x/y.png"'}]
    rows, _ = parse(tmp_path, AmazonMetadata, lines)
    assert [p["category"] for p in rows["products"]] == ["Tools & Home Improvement", None]


def test_dirty_values_cost_the_value_not_the_product(tmp_path: Path) -> None:
    dirt = {
        "price": ".a-box-inner{color:#fff}",
        "brand": "<span",
        "description": "",
        "feature": [],
        "rank": "2 in",
    }
    rows, rejections = parse(
        tmp_path, AmazonMetadata, [ROW | dirt | {"also_buy": None, "imageURL": "", "image": 3}]
    )
    assert rejections == []
    product = rows["products"][0]
    assert (product["price"], product["currency"], product["brand"]) == (None, None, None)


def test_each_rejected_line_has_one_rejection_with_its_number(tmp_path: Path) -> None:
    lines = [
        ROW | {"title": '<span class="a-size-medium a-color-secondary"'},
        ROW | {"title": ""},
        ROW | {"asin": ""},
        '{"asin": "B1", "title": ',
        "[]",
        ROW,
    ]
    rows, rejections = parse(tmp_path, AmazonMetadata, lines)
    assert [(r.reason, r.origin, r.record_id) for r in rejections] == [
        ("title_not_text", "file.json:1", "amazon18:B000000001"),
        ("missing_title", "file.json:2", "amazon18:B000000001"),
        ("missing_id", "file.json:3", ""),
        ("broken_json", "file.json:4", ""),
        ("not_an_object", "file.json:5", ""),
    ]
    assert {r.stage for r in rejections} == {"parse"}
    assert len(rows["products"]) == 1


def test_large_files_come_in_batches_that_add_up(tmp_path: Path) -> None:
    count = BATCH_RECORDS + 7
    lines = (f'{{"asin": "B{i:09}", "title": "{"" if i % 3 else "Lamp"}"}}' for i in range(count))
    (tmp_path / "file.json").write_text("\n".join(lines), encoding="utf-8")
    source = AmazonMetadata(kind="amazon18_metadata", path="*.json")
    batches = list(parse_file(source, source_files(source, tmp_path)[0]))
    assert [batch.records for batch in batches] == [BATCH_RECORDS, 7]
    assert all(batch.records == batch.kept + len(batch.rejections) for batch in batches)
    assert sum(batch.kept for batch in batches) == (count + 2) // 3
    assert (
        pa.concat_tables(b.tables["products"] for b in batches)["product_id"][0].as_py()
        == "amazon18:B000000000"
    )


REVIEW: dict[str, Any] = {
    "overall": 4.0,
    "verified": True,
    "reviewTime": "02 26, 2014",
    "reviewerID": REVIEWER,
    "asin": "B000000001",
    "style": {"Size:": " Large"},
    "reviewText": "Good &amp; bright.<br />Warm.",
    "summary": "Nice",
    "unixReviewTime": 1393372800,
    "image": [f"{HOST}/r1._SY88.jpg"],
}


def test_a_review_is_read(tmp_path: Path) -> None:
    rows, rejections = parse(tmp_path, AmazonReviews, [REVIEW])
    assert rejections == []
    assert rows["reviews"] == [
        {
            "review_id": "amazon18:B000000001:A3U4E9PIZ8OWH1:1393372800-3365414999",
            "product_id": "amazon18:B000000001",
            "user_id": "amazon18:A3U4E9PIZ8OWH1",
            "rating": 4,
            "title": "Nice",
            "text": "Good & bright. Warm.",
            "timestamp": 1393372800,
            "verified": True,
            "image_urls": [f"{HOST}/r1.jpg"],
            "origin": "file.json:1",
        }
    ]


@pytest.mark.parametrize("time", ["long ago", 10**30, 20, None])
def test_a_time_that_cannot_be_read_costs_the_time(tmp_path: Path, time: object) -> None:
    rows, rejections = parse(tmp_path, AmazonReviews, [REVIEW | {"unixReviewTime": time}])
    assert rejections == []
    assert rows["reviews"][0]["timestamp"] is None


def test_other_words_or_stars_on_a_day_are_another_review(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"overall": 2.0},
        {"summary": "So"},
        {"reviewText": "Dim."},
        {"verified": False},
    ]
    rows, _ = parse(tmp_path, AmazonReviews, [REVIEW | change for change in changes])
    ids = [row["review_id"] for row in rows["reviews"]]
    assert len(set(ids)) == 4
    assert ids[0] == ids[4]


def test_a_review_without_words_is_kept_for_histories(tmp_path: Path) -> None:
    bare = {name: REVIEW[name] for name in ("overall", "reviewerID", "asin", "unixReviewTime")}
    rows, rejections = parse(tmp_path, AmazonReviews, [bare])
    assert rejections == []
    review = rows["reviews"][0]
    assert (review["text"], review["title"], review["verified"], review["image_urls"]) == ("", "", None, [])


def test_milliseconds_are_brought_to_seconds(tmp_path: Path) -> None:
    rows, _ = parse(tmp_path, AmazonReviews, [REVIEW | {"unixReviewTime": 1588687728923}])
    assert rows["reviews"][0]["timestamp"] == 1588687728


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"overall": 0}, "bad_rating"),
        ({"overall": 4.5}, "bad_rating"),
        ({"overall": None}, "bad_rating"),
        ({"overall": True}, "bad_rating"),
        ({"asin": ""}, "missing_id"),
        ({"reviewerID": None}, "missing_id"),
    ],
)
def test_reviews_that_cannot_be_used_are_rejected(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    rows, rejections = parse(tmp_path, AmazonReviews, [REVIEW | change])
    assert rows["reviews"] == []
    assert [r.reason for r in rejections] == [reason]
