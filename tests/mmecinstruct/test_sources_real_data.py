"""The readers on real files of their publishers, where MMEC_REAL_DATA names a folder of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from mmecinstruct.recipe.sources import (
    AmazonMetadata,
    AmazonReviews,
    CatalogSource,
    EsciSource,
    Source,
    SqidSource,
)
from mmecinstruct.sources import RawFile, parse_file, source_files
from mmecinstruct.tables import RAW_TABLES

ROOT = Path(folder) if (folder := os.environ.get("MMEC_REAL_DATA")) else None


def parse(
    folder: str, source: Source, files: list[RawFile] | None = None
) -> tuple[dict[str, pa.Table], Counter[str], int]:
    """Return tables, rejections by reason and number of records; skip where the folder is not there."""
    if ROOT is None or not (ROOT / folder).is_dir():
        pytest.skip(f"MMEC_REAL_DATA names no folder with {folder}")
    tables: dict[str, list[pa.Table]] = {}
    reasons: Counter[str] = Counter()
    records = 0
    for file in files or source_files(source, ROOT / folder):
        for batch in parse_file(source, file):
            records += batch.records
            reasons.update(rejection.reason for rejection in batch.rejections)
            for name, table in batch.tables.items():
                assert table.schema == RAW_TABLES[name]
                tables.setdefault(name, []).append(table)
    return {name: pa.concat_tables(parts) for name, parts in tables.items()}, reasons, records


def test_magazine_metadata_in_both_picture_schemas_gives_the_same_tables() -> None:
    source = AmazonMetadata(kind="amazon18_metadata", path="meta_*.json.gz")
    newer, reasons, records = parse("amazon2018_magazines_meta", source)
    # 3,153 titles are a tag, 10 the end of one, 2 name an issue in braces.
    assert (records, reasons) == (3385, Counter(title_not_text=3165))
    products = newer["products"]
    assert products.num_rows == 220
    assert set(products["category"].to_pylist()) == {"Magazine Subscriptions"}
    assert not any("&amp;" in name for path in products["category_path"].to_pylist() for name in path)
    assert not any("._" in url for urls in products["image_urls"].to_pylist() for url in urls)
    older, older_reasons, _ = parse("amazon2018_magazines_reviews", source)
    assert older_reasons == reasons
    assert older["products"].equals(products)
    assert older["relations"].equals(newer["relations"])


def test_magazine_reviews_are_all_kept() -> None:
    source = AmazonReviews(kind="amazon18_reviews", path="*_5.json.gz")
    tables, reasons, records = parse("amazon2018_magazines_reviews", source)
    assert (records, reasons) == (2375, Counter())
    reviews = tables["reviews"]
    assert Counter(reviews["rating"].to_pylist()) == {5: 1541, 4: 375, 3: 239, 2: 118, 1: 102}
    assert len(set(reviews["user_id"].to_pylist())) == 348
    assert len(set(reviews["product_id"].to_pylist())) == 157
    (urls,) = [urls for urls in reviews["image_urls"].to_pylist() if urls]
    assert len(urls) == 2
    assert not any("_SY88" in url for url in urls)


def test_sqid_urls() -> None:
    source = SqidSource(kind="sqid", path="supp_product_image_urls.csv")
    tables, reasons, records = parse("sqid_supp_urls", source)
    assert records == 27_139
    assert reasons == Counter(missing_url=910, placeholder_url=26)
    assert tables["product_images"].num_rows == 27_139 - 910 - 26


def test_esci_judgements() -> None:
    source = EsciSource(kind="esci", examples="test-sample.parquet", products="none")
    path = (ROOT or Path()) / "esci_vespa_sample" / "test-sample.parquet"
    file = RawFile("examples", path, path.name)
    tables, reasons, records = parse("esci_vespa_sample", source, [file])
    assert (records, reasons) == (16, Counter())
    assert Counter(tables["judgements"]["label"].to_pylist()) == {"E": 3, "S": 6, "I": 7}
    assert set(tables["judgements"]["query_id"].to_pylist()) == {"esci:535"}


LUMA = CatalogSource.model_validate(
    {
        "kind": "catalog",
        "prefix": "luma",
        "products": {
            "path": "products.csv",
            "id": "sku",
            "title": "name",
            "brand": "brand",
            "category": "category",
            "category_stop": ["Collections", "Promotions"],
            "price": "price",
            "currency_code": "USD",
            "color": "color",
            "features": "material",
            "description": "description",
            "images": "images",
        },
        "relations": {
            "path": "links.csv",
            "product": "sku",
            "linked_product": "linked_sku",
            "relation": "link",
            "names": {"crosssell": "also_bought", "related": "also_viewed", "upsell": "similar"},
        },
        "reviews": {
            "path": "reviews.csv",
            "product": "sku",
            "rating": "rating",
            "title": "title",
            "text": "review",
        },
    }
)


def test_a_real_shop() -> None:
    tables, reasons, records = parse("luma_shop", LUMA)
    assert (records, reasons) == (191 + 1404 + 500, Counter())
    products = tables["products"].to_pylist()
    assert len(products) == 191
    paths = Counter(tuple(product["category_path"]) for product in products)
    assert paths["Gear", "Watches"] == 9
    assert paths["Gear", "Fitness Equipment"] == 21
    assert not any(name in ("Collections", "Promotions") for path in paths for name in path)
    assert all(product["price"] is not None and "<" not in product["description"] for product in products)
    known = {product["product_id"] for product in products}
    unknown = [review for review in tables["reviews"]["product_id"].to_pylist() if review not in known]
    assert len(unknown) == 152
    assert set(tables["relations"]["relation"].to_pylist()) == {"also_bought", "also_viewed", "similar"}
