"""ESCI-S (images and categories of ESCI's products) and Amazon Berkeley Objects."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import parse_file, source_files
from mmecinstruct.sources.settings import AboSource, EsciPages

HOST = "https://m.media-amazon.com/images/I"
PAGE: dict[str, Any] = {
    "type": "product",
    "locale": "us",
    "asin": "B06XXXLJ6V",
    "title": "Leather Case",
    "category": ["Cell Phones &amp; Accessories", "Flip Cases"],
    "attrs": {"Color": "Black"},
    "reviews": [{"stars": "3.0 out of 5 stars"}],
    "template": "wireless",
    "image": f"{HOST}/81bdoltQWVL.__AC_SY300_SX300_QL70_FMwebp_.jpg",
}

Tables = dict[str, list[dict[str, Any]]]


def collect(source: EsciPages | AboSource, root: Path) -> tuple[Tables, list[Rejection]]:
    tables: Tables = {}
    rejections: list[Rejection] = []
    for file in source_files(source, root):
        for batch in parse_file(source, file):
            rejections += batch.rejections
            for name, table in batch.tables.items():
                tables.setdefault(name, []).extend(table.to_pylist())
    return tables, rejections


def test_a_page_gives_image_and_category_of_an_esci_product(tmp_path: Path) -> None:
    lines = [PAGE, PAGE | {"image": ""}, PAGE | {"category": []}]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (tmp_path / "esci.json.zst").write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
    tables, rejections = collect(EsciPages(kind="esci_s", path="esci.json.zst"), tmp_path)
    assert rejections == []
    assert tables == {
        "product_images": [{"product_id": "esci:B06XXXLJ6V", "image_url": f"{HOST}/81bdoltQWVL.jpg"}] * 2,
        "category_labels": [
            {
                "product_id": "esci:B06XXXLJ6V",
                "fine_category": None,
                "category_path": ["Cell Phones & Accessories", "Flip Cases"],
            }
        ]
        * 2,
    }


def test_pages_that_say_nothing_are_rejected(tmp_path: Path) -> None:
    lines = [
        PAGE | {"asin": None},
        PAGE | {"locale": "es"},
        PAGE | {"image": None, "category": "Cases"},
        PAGE | {"image": f"{HOST}/01RmK+J4pJL.gif", "category": ["<img"]},
        PAGE | {"locale": None},  # what does not say is taken
    ]
    with gzip.open(tmp_path / "sample.json.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    tables, rejections = collect(EsciPages(kind="esci_s", path="sample.json.gz"), tmp_path)
    assert [r.reason for r in rejections] == [
        "missing_id",
        "other_locale",
        "nothing_usable",
        "nothing_usable",
    ]
    assert len(tables["product_images"]) == 1


LISTING: dict[str, Any] = {
    "item_id": "B07TF1FCFD",
    "domain_name": "amazon.com",
    "item_name": [
        {"language_tag": "de_DE", "value": "Handyhülle"},
        {"language_tag": "en_IN", "value": "Mobile Cover &amp; Stand"},
        {"language_tag": "en_US", "value": "Phone Case"},
    ],
    "brand": [{"language_tag": "en_IN", "value": "Solimo"}],
    "bullet_point": [
        {"language_tag": "en_IN", "value": "Snug fit"},
        {"language_tag": "de_DE", "value": "Passgenau"},
        {"language_tag": "en_IN", "value": "Easy access"},
    ],
    "color": [{"language_tag": "en_IN", "value": "Others", "standardized_values": ["Multi"]}],
    "product_type": [{"value": "CELLULAR_PHONE_CASE"}],
    "main_image_id": "51Ax1GgPVcL",
    "other_image_id": ["71-UjLr0AlL", "51Ax1GgPVcL", "unknown"],
    "node": [
        {"node_id": 1, "node_name": "/Kategorien/Elektronik/Hüllen"},
        {"node_id": 2, "node_name": "/Categories/Mobiles & Accessories/Cases & Covers"},
    ],
}
IMAGES = (
    "image_id,height,width,path\n51Ax1GgPVcL,200,200,14/14fe8812.jpg\n71-UjLr0AlL,256,100,00/00d1a7.jpg\n"
)
SMALL = "https://amazon-berkeley-objects.s3.amazonaws.com/images/small"


def parse_abo(
    tmp_path: Path, *lines: dict[str, Any], language: str = "en", images: str = IMAGES
) -> tuple[Tables, list[Rejection]]:
    folder = tmp_path / "abo"
    folder.mkdir(exist_ok=True)
    for number, line in enumerate(lines):
        (folder / f"listings_{number}.json.gz").write_bytes(gzip.compress(json.dumps(line).encode()))
    (folder / "images.csv.gz").write_bytes(gzip.compress(images.encode()))
    source = AboSource.model_validate(
        {
            "kind": "abo",
            "listings": "abo/listings_*.json.gz",
            "images": "abo/images.csv.gz",
            "language": language,
        }
    )
    return collect(source, tmp_path)


def test_a_listing_is_read_in_the_wanted_language_with_its_images(tmp_path: Path) -> None:
    tables, rejections = parse_abo(tmp_path, LISTING)
    assert rejections == []
    assert tables["products"] == [
        {
            "product_id": "abo:B07TF1FCFD",
            "source": "abo",
            "title": "Mobile Cover & Stand",
            "brand": "Solimo",
            "category": "Mobiles & Accessories",
            "category_path": ["Mobiles & Accessories", "Cases & Covers"],
            "description": "",
            "features": ["Snug fit", "Easy access"],
            "price": None,
            "currency": None,
            "color": "Others",
            "image_urls": [f"{SMALL}/14/14fe8812.jpg", f"{SMALL}/00/00d1a7.jpg"],
            "group_id": None,
            "origin": "abo/listings_0.json.gz:1",
        }
    ]
    assert tables["category_labels"] == [
        {"product_id": "abo:B07TF1FCFD", "fine_category": "Cellular Phone Case", "category_path": []}
    ]


@pytest.mark.parametrize(
    ("language", "title", "path"),
    [
        ("de", "Handyhülle", ["Elektronik", "Hüllen"]),
        ("en_US", "Phone Case", ["Mobiles & Accessories", "Cases & Covers"]),
    ],
)
def test_another_language_may_be_wanted(tmp_path: Path, language: str, title: str, path: list[str]) -> None:
    tables, _ = parse_abo(tmp_path, LISTING, language=language)
    assert [(p["title"], p["category_path"]) for p in tables["products"]] == [(title, path)]


def test_the_product_type_is_the_category_of_a_listing_without_a_path(tmp_path: Path) -> None:
    tables, _ = parse_abo(tmp_path, LISTING | {"node": None}, LISTING | {"node": None, "product_type": []})
    assert [p["category_path"] for p in tables["products"]] == [["Cellular Phone Case"], []]


def test_listings_and_images_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    tables, rejections = parse_abo(
        tmp_path,
        LISTING | {"item_id": None},
        LISTING | {"item_name": LISTING["item_name"][:1]},
        LISTING | {"item_name": "Phone Case"},
        LISTING | {"item_name": [{"language_tag": "en_US", "value": "<b"}]},
        LISTING | {"other_image_id": 7, "main_image_id": None},
        images=IMAGES + ",1,1,x.jpg\nq,1,1,\nr,1,1,../../etc/x.jpg\ns,1\n",
    )
    assert [(r.reason, r.origin) for r in rejections] == [
        ("missing_id", "abo/listings_0.json.gz:1"),
        ("other_language", "abo/listings_1.json.gz:1"),
        ("missing_title", "abo/listings_2.json.gz:1"),
        ("title_not_text", "abo/listings_3.json.gz:1"),
        ("missing_id", "abo/images.csv.gz:4"),
        ("missing_url", "abo/images.csv.gz:5"),
        ("missing_url", "abo/images.csv.gz:6"),
        ("bad_row", "abo/images.csv.gz:7"),
    ]
    assert tables["products"][0]["image_urls"] == []
