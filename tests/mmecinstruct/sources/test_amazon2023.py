"""Amazon 2023 metadata and reviews, as raw JSON lines, as `datasets` exports them, and as Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.pipeline.assemble import published_record_id
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.sources import ParsedBatch, parse_file, source_files
from mmecinstruct.sources.settings import Amazon2023Metadata, Amazon2023Reviews

HOST = "https://m.media-amazon.com/images/I"
PRODUCT: dict[str, Any] = {
    "main_category": "All Beauty",
    "title": "Howl &amp; Co Lip Balm",
    "average_rating": 4.8,
    "rating_number": 10,
    "features": ["Soft<br />", ""],
    "description": ["<b>Balm.</b>", "Vegan."],
    "price": 9.99,
    "images": [
        {"thumb": f"{HOST}/a._SS40_.jpg", "large": f"{HOST}/a.jpg", "variant": "MAIN", "hi_res": None},
        {
            "thumb": f"{HOST}/b._SS40_.jpg",
            "large": f"{HOST}/b0.jpg",
            "variant": "PT01",
            "hi_res": f"{HOST}/b._SL1500_.jpg",
        },
    ],
    "videos": [{"title": "How", "url": "https://www.amazon.com/vdp/1", "user_id": "/shop/x"}],
    "store": "Howl",
    "categories": [],
    "details": {"Brand": "Other", "Color": "Red"},
    "parent_asin": "B01CUPMQZE",
    "bought_together": None,
    "subtitle": None,
    "author": None,
}
HANDED_OUT = PRODUCT | {
    "price": "None",
    "details": json.dumps(PRODUCT["details"]),
    "images": {
        "hi_res": [None, f"{HOST}/b._SL1500_.jpg"],
        "large": [f"{HOST}/a.jpg", f"{HOST}/b0.jpg"],
        "thumb": [f"{HOST}/a._SS40_.jpg", f"{HOST}/b._SS40_.jpg"],
        "variant": ["MAIN", "PT01"],
    },
    "videos": {"title": ["How"], "url": ["https://www.amazon.com/vdp/1"], "user_id": ["/shop/x"]},
}
REVIEW: dict[str, Any] = {
    "rating": 5.0,
    "title": "Nice",
    "text": "Good &amp; soft.<br />Warm.",
    "images": [
        {
            "small_image_url": f"{HOST}/r._SL256_.jpg",
            "medium_image_url": f"{HOST}/r._SL800_.jpg",
            "large_image_url": f"{HOST}/r._SL1600_.jpg",
            "attachment_type": "IMAGE",
        }
    ],
    "asin": "B088SZDGXG",
    "parent_asin": "B08BBQ29N5",
    "user_id": "AEYORY2AVPMCPDV57CE337YU5LXA",
    "timestamp": 1588687728923,
    "helpful_vote": 0,
    "verified_purchase": True,
}


def parse(
    tmp_path: Path, lines: list[dict[str, Any]], *, reviews: bool = False, parquet: bool = False
) -> ParsedBatch:
    path = tmp_path / ("file.parquet" if parquet else "file.jsonl")
    if parquet:
        pq.write_table(pa.Table.from_pylist(lines), path)
    else:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source: Amazon2023Metadata | Amazon2023Reviews
    if reviews:
        source = Amazon2023Reviews(kind="amazon23_reviews", path=path.name)
    else:
        source = Amazon2023Metadata(kind="amazon23_metadata", path=path.name)
    (batch,) = parse_file(source, source_files(source, tmp_path)[0])
    for name, table in batch.tables.items():
        assert table.schema == RAW_TABLES[name]
    return batch


def test_a_product_is_read_and_cleaned(tmp_path: Path) -> None:
    assert parse(tmp_path, [PRODUCT]).tables["products"].to_pylist() == [
        {
            "product_id": "amazon23:B01CUPMQZE",
            "source": "amazon23",
            "title": "Howl & Co Lip Balm",
            "brand": "Howl",
            "category": "All Beauty",
            "category_path": ["All Beauty"],
            "description": "Balm. Vegan.",
            "features": ["Soft"],
            "price": 9.99,
            "currency": "USD",
            "color": "Red",
            "image_urls": [f"{HOST}/a.jpg", f"{HOST}/b.jpg"],
            "group_id": "amazon23:B01CUPMQZE",
            "origin": "file.jsonl:1",
        }
    ]


@pytest.mark.parametrize("parquet", [False, True])
def test_the_datasets_form_gives_the_same_except_for_the_price(tmp_path: Path, parquet: bool) -> None:
    (raw,) = parse(tmp_path, [PRODUCT]).tables["products"].to_pylist()
    batch = parse(tmp_path, [HANDED_OUT], parquet=parquet)
    raw["origin"] = batch.tables["products"]["origin"][0].as_py()
    assert batch.tables["products"].to_pylist() == [raw | {"price": None, "currency": None}]


@pytest.mark.parametrize(
    ("given", "price"),
    [
        (9.5, 9.5),
        ("9.5", 9.5),
        ("$1,209.50", 1209.5),
        ("from 9.99", None),
        ("—", None),
        ("None", None),
        (None, None),
        (-1, None),
        ([], None),
    ],
)
def test_prices_are_numbers_or_texts(tmp_path: Path, given: object, price: float | None) -> None:
    batch = parse(tmp_path, [PRODUCT | {"price": given}])
    assert batch.tables["products"]["price"].to_pylist() == [price]


def test_there_are_no_relations(tmp_path: Path) -> None:
    batch = parse(tmp_path, [PRODUCT | {"bought_together": ["B000000001"]}])
    assert list(batch.tables) == ["products"]


def test_a_path_of_categories_comes_before_the_main_category(tmp_path: Path) -> None:
    paths = [["Beauty", "Lips"], None, "Beauty", ["<img"]]
    batch = parse(tmp_path, [PRODUCT | {"categories": path} for path in paths])
    assert batch.tables["products"]["category_path"].to_pylist() == [
        ["Beauty", "Lips"],
        *[["All Beauty"]] * 3,
    ]


@pytest.mark.parametrize(
    "details", [None, "no json", "{broken", [], "[" * 10_000, {"Brand": 3, "Color": ["x"]}]
)
def test_details_of_another_form_cost_only_themselves(tmp_path: Path, details: object) -> None:
    batch = parse(tmp_path, [PRODUCT | {"details": details, "store": None}])
    product = batch.tables["products"].to_pylist()[0]
    assert (product["brand"], product["color"]) == (None, None)


def test_products_without_id_or_title_are_rejected(tmp_path: Path) -> None:
    changes = [{"parent_asin": None}, {"title": None}, {"title": "<span"}, {"title": ["a"]}]
    batch = parse(tmp_path, [PRODUCT | change for change in changes])
    assert [r.reason for r in batch.rejections] == [
        "missing_id",
        "missing_title",
        "title_not_text",
        "missing_title",
    ]


@pytest.mark.parametrize("parquet", [False, True])
def test_a_review_names_the_parent_and_its_time_in_seconds(tmp_path: Path, parquet: bool) -> None:
    assert parse(tmp_path, [REVIEW], reviews=True, parquet=parquet).tables["reviews"].to_pylist() == [
        {
            "review_id": "amazon23:B088SZDGXG:AEYORY2AVPMCPDV57CE337YU5LXA:1588687728923-4179386865",
            "product_id": "amazon23:B08BBQ29N5",
            "user_id": "amazon23:AEYORY2AVPMCPDV57CE337YU5LXA",
            "rating": 5,
            "title": "Nice",
            "text": "Good & soft. Warm.",
            "timestamp": 1588687728,
            "verified": True,
            "image_urls": [f"{HOST}/r.jpg"],
            "origin": f"file.{'parquet' if parquet else 'jsonl'}:1",
        }
    ]


@pytest.mark.parametrize("name", ["sort_timestamp", "sortTimestamp"])
def test_older_names_are_read(tmp_path: Path, name: str) -> None:
    older = {field: value for field, value in REVIEW.items() if field not in ("timestamp", "helpful_vote")}
    batch = parse(tmp_path, [older | {name: 1634275259292, "helpful_votes": 3}], reviews=True)
    assert batch.tables["reviews"]["timestamp"].to_pylist() == [1634275259]


def test_reviews_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"parent_asin": None},  # then the variant names the product
        {"parent_asin": "", "asin": None},
        {"user_id": ""},
        {"rating": 0},
        {"timestamp": None},
    ]
    batch = parse(tmp_path, [REVIEW | change for change in changes], reviews=True)
    assert batch.tables["reviews"]["product_id"].to_pylist() == ["amazon23:B088SZDGXG", "amazon23:B08BBQ29N5"]
    assert batch.tables["reviews"]["timestamp"].to_pylist()[1] is None
    assert [r.reason for r in batch.rejections] == ["missing_id", "missing_id", "bad_rating"]
    assert not any(REVIEW["user_id"] in r.detail for r in batch.rejections)
    # A published folder does not name the writer of a rejected review either.
    assert REVIEW["user_id"] in batch.rejections[2].record_id
    assert REVIEW["user_id"] not in published_record_id("parse", batch.rejections[2].record_id)
