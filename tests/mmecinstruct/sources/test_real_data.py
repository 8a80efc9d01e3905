"""The readers on real files of their publishers, where MMEC_REAL_DATA names a folder of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.duckdb import connect, create_view
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.products import curate_products
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.sources import RawFile, parse_file, source_files
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.streams import read_lines
from mmecinstruct.sources.settings import (
    AmazonMetadata,
    AmazonQaSource,
    AmazonRatings,
    AmazonReviews,
    CatalogSource,
    EsciSource,
    Source,
    SqidSource,
)

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


def test_magazine_metadata_in_both_image_schemas_gives_the_same_tables() -> None:
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


def test_the_magazines_file_has_the_documented_dirt(tmp_path: Path) -> None:
    """The counts that were measured: 3,153 titles are a tag; 1,065 rows repeat an earlier one."""
    if ROOT is None or not (ROOT / "amazon2018_magazines_meta").is_dir():
        pytest.skip("MMEC_REAL_DATA names no folder with amazon2018_magazines_meta")
    source = AmazonMetadata(kind="amazon18_metadata", path="meta_*.json.gz")
    (file,) = source_files(source, ROOT / "amazon2018_magazines_meta")
    details = Counter(
        rejection.detail for batch in parse_file(source, file) for rejection in batch.rejections
    )
    assert details.total() == 3165
    assert sum(count for detail, count in details.items() if detail.startswith("<span")) == 3153
    assert sum(count for detail, count in details.items() if detail.endswith("/>")) == 10
    # Most repeated rows have no title. With one put in its place, curation finds each of them.
    rows = [msgspec.json.decode(line) for _, line in read_lines(file.path) if isinstance(line, bytes)]
    for row in rows:
        row["title"] = f"Magazine {row['asin']}"
    (tmp_path / "meta.json").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    batches = list(parse_file(source, RawFile("metadata", tmp_path / "meta.json", "meta.json")))
    products = pa.concat_tables(batch.tables["products"] for batch in batches)
    assert products.num_rows == 3385
    # What prices there are, are style sheets and a script; 50 rows name an image twice.
    priced = [row["price"].strip() for row in rows if row["price"].strip()]
    assert Counter(price.split("{")[0].split("\n")[0] for price in priced) == {
        ".a-box-inner": 17,
        "<script": 1,
    }
    assert products["price"].null_count == 3385
    assert sum(len(set(row["imageURL"])) < len(row["imageURL"]) for row in rows) == 50
    assert all(len(set(urls)) == len(urls) for urls in products["image_urls"].to_pylist())
    assert products["brand"].null_count == sum(not row["brand"] for row in rows) == 223
    assert not any("&amp;" in brand for brand in products["brand"].to_pylist() if brand)
    write_table(products, tmp_path / "products.parquet")
    connection = connect()
    create_view(connection, "products", [tmp_path / "products.parquet"], RAW_TABLES["products"])
    for name in ("category_labels", "product_images"):
        create_view(connection, name, [], RAW_TABLES[name])
    curated, rejections, _ = curate_products(connection, 1.0)
    told = Counter((one.reason, one.detail.partition(" as ")[0]) for one in rejections)
    assert told == {("duplicate_id", "the same row"): 1065}
    assert curated.num_rows == 2320


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


def test_esci_products_in_the_publishers_schema(tmp_path: Path) -> None:
    """The sample's products are documents of a search engine; brought into ESCI's schema, all of them are kept."""
    if ROOT is None or not (ROOT / "esci_vespa_sample").is_dir():
        pytest.skip("MMEC_REAL_DATA names no folder with esci_vespa_sample")
    names = {"product_id": "id", "product_title": "title", "product_description": "description"}
    names |= {"product_bullet_point": "bullets", "product_brand": "brand", "product_color": "color"}
    rows = []
    for _, record in read_json_lines(ROOT / "esci_vespa_sample" / "sample-products.jsonl.zstd", dict):
        assert isinstance(record, dict)
        fields = record["fields"]
        rows.append({to: fields.get(given) for to, given in names.items()} | {"product_locale": "us"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "products.parquet")
    source = EsciSource(kind="esci", examples="none", products="products.parquet")
    file = RawFile("products", tmp_path / "products.parquet", "products.parquet")
    tables, reasons, records = parse("esci_vespa_sample", source, [file])
    assert (records, reasons) == (16, Counter())
    products = tables["products"].to_pylist()
    assert len({product["product_id"] for product in products}) == 16
    assert all(product["title"] and "<" not in product["description"] for product in products)
    examples = RawFile("examples", ROOT / "esci_vespa_sample" / "test-sample.parquet", "test-sample.parquet")
    judged, _, _ = parse("esci_vespa_sample", source, [examples])
    assert set(judged["judgements"]["product_id"].to_pylist()) == {p["product_id"] for p in products}


def test_esci_sources_by_kind() -> None:
    path = "shopping_queries_dataset_sources.csv"
    source = EsciSource(kind="esci", examples="none", products="none", sources=path)
    tables, reasons, records = parse(
        "esci_sources", source, [RawFile("sources", (ROOT or Path()) / "esci_sources" / path, path)]
    )
    assert (records, reasons) == (130_652, Counter())
    kinds = Counter(tables["query_kinds"]["kind"].to_pylist())
    assert kinds == {
        "other": 113_656,
        "negations": 6_964,
        "parse_pattern": 6_083,
        "behavioral": 3_780,
        "nlqec": 169,
    }
    assert len(set(tables["query_kinds"]["query_id"].to_pylist())) == 130_652


def test_amazonqa_in_the_form_of_squad_names_no_product() -> None:
    source = AmazonQaSource(kind="amazonqa", path="squad_*.json")
    tables, reasons, records = parse("amazonqa_squad_sample", source)
    assert (records, reasons) == (81, Counter(missing_id=81))
    assert tables["questions"].num_rows == 0


def test_real_reviews_read_as_ratings_give_the_same_histories(tmp_path: Path) -> None:
    source = AmazonReviews(kind="amazon18_reviews", path="*_5.json.gz")
    reviews = parse("amazon2018_magazines_reviews", source)[0]["reviews"]
    columns = ["product_id", "user_id", "rating", "timestamp"]
    rows = reviews.select(columns).to_pylist()
    for order in ((1, 2), (2, 1)):  # 2018, 2014
        lines = []
        for row in rows:
            cells = ["", *(row[name].removeprefix("amazon18:") for name in ("product_id", "user_id"))]
            lines.append(f"{cells[order[0]]},{cells[order[1]]},{row['rating']}.0,{row['timestamp']}\n")
        (tmp_path / "ratings.csv").write_text("".join(lines), encoding="utf-8")
        ratings = AmazonRatings(kind="amazon18_ratings", path="ratings.csv")
        file = RawFile("ratings", tmp_path / "ratings.csv", "ratings.csv")
        tables, reasons, _ = parse("amazon2018_magazines_reviews", ratings, [file])
        assert reasons == Counter()
        assert tables["reviews"].select(columns).to_pylist() == rows


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
