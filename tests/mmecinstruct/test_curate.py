"""Curation: one row per id, near-duplicates in clusters, reviews in the recipe's language."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from mmecinstruct.curate.language import LANGUAGES, measure_languages
from mmecinstruct.curate.products import curate_products
from mmecinstruct.curate.records import curate_records, curate_reviews
from mmecinstruct.parquet import connect, create_view, write_table
from mmecinstruct.recipe import CurateSettings
from mmecinstruct.tables import CURATED_PRODUCTS, RAW_TABLES

Row = dict[str, object]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return connect()


def view(connection: duckdb.DuckDBPyConnection, folder: Path, name: str, *files: list[Row]) -> None:
    schema = {**RAW_TABLES, "languages": LANGUAGES}[name]
    paths = []
    for number, rows in enumerate(files):
        # File names in an order that is not the order of the files.
        path = folder / f"{name}-{9 - number}.parquet"
        write_table(pa.Table.from_pylist(rows, schema=schema), path)
        paths.append(path)
    create_view(connection, name, paths, schema)


def product(product_id: str, title: str, **more: object) -> Row:
    return {
        "product_id": product_id,
        "title": title,
        "category": "",
        "category_path": [],
        "image_urls": [],
        **more,
    }


def curated(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *files: list[Row],
    labels: list[Row] | None = None,
    images: list[Row] | None = None,
) -> tuple[dict[str, Row], list[tuple[str, str]]]:
    view(connection, folder, "products", *files)
    view(connection, folder, "category_labels", *([labels] if labels else []))
    view(connection, folder, "product_images", *([images] if images else []))
    table, rejections = curate_products(connection, 0.85)
    assert sum(map(len, files)) == table.num_rows + len(rejections)
    return {row["product_id"]: row for row in table.to_pylist()}, [
        (r.reason, r.record_id) for r in rejections
    ]


def test_the_first_row_of_an_id_stays_across_files(connection, tmp_path) -> None:
    rows, rejections = curated(
        connection,
        tmp_path,
        [product("a:1", "first"), product("a:2", "other")],
        [product("a:1", "second"), product("a:2", "other")],
    )
    assert rows["a:1"]["title"] == "first"
    assert rejections == [("duplicate_id", "a:1"), ("duplicate_id", "a:2")]


def test_one_item_in_two_sources_is_one_cluster_and_shares_its_category(connection, tmp_path) -> None:
    rows, _ = curated(
        connection,
        tmp_path,
        [product("amazon18:B01", "Red mug", category="Kitchen", category_path=["Kitchen", "Mugs"])],
        [
            product("esci:B01", "A wholly different wording of it"),
            product("shop:B01", "Garden hose ten metres"),
        ],
    )
    assert rows["esci:B01"]["cluster_id"] == rows["amazon18:B01"]["cluster_id"] == "amazon18:B01"
    assert rows["esci:B01"]["category"] == "Kitchen"
    assert rows["esci:B01"]["category_path"] == ["Kitchen", "Mugs"]
    assert rows["shop:B01"]["cluster_id"] == "shop:B01"
    assert rows["shop:B01"]["category"] == ""


def test_labels_and_pictures_of_other_publishers_are_joined(connection, tmp_path) -> None:
    rows, _ = curated(
        connection,
        tmp_path,
        [product("esci:1", "mug", image_urls=["own"]), product("esci:2", "hose")],
        labels=[{"product_id": "esci:1", "fine_category": "Mugs"}],
        images=[{"product_id": "esci:1", "image_url": url} for url in ("z", "own", "b", "z")],
    )
    assert rows["esci:1"]["image_urls"] == ["own", "b", "z"]
    assert (rows["esci:1"]["fine_category"], rows["esci:2"]["fine_category"]) == ("Mugs", None)


def test_languages_are_told_apart_and_short_texts_are_not_judged() -> None:
    reviews = pa.table(
        {
            "review_id": ["1", "2", "3"],
            "title": ["Great", "Schön", None],
            "text": [
                "This is the best mug that I ever had.",
                "Das ist die beste Tasse, die ich je hatte.",
                "Ok",
            ],
        }
    )
    table = measure_languages(reviews)
    assert table["language"].to_pylist() == ["en", "de", None]


def test_reviews_are_rejected_with_the_reason_that_applies(connection, tmp_path) -> None:
    def review(number: int, product_id: str = "a:1") -> Row:
        return {"review_id": f"r{number}", "product_id": product_id, "rating": 5, "text": "t"}

    def language(number: int, name: str | None, score: float | None) -> Row:
        return {"review_id": f"r{number}", "language": name, "language_score": score}

    view(
        connection,
        tmp_path,
        "reviews",
        [review(1), review(2), review(3)],
        [review(1), review(4, "a:9"), review(5)],
    )
    view(
        connection,
        tmp_path,
        "languages",
        [language(1, "en", 0.9), language(2, "de", 0.9), language(3, "de", 0.3)],
        [language(1, "de", 0.9), language(4, "en", 0.9), language(5, None, None)],
    )
    connection.register("products", pa.Table.from_pylist([{"product_id": "a:1"}], schema=CURATED_PRODUCTS))
    table, rejections = curate_reviews(connection, CurateSettings())
    assert table["review_id"].to_pylist() == ["r1", "r3", "r5"]
    assert [(r.record_id, r.reason, r.detail) for r in rejections] == [
        ("r1", "duplicate_id", "another review of this id came before; the first one stays"),
        ("r2", "other_language", "de (0.90)"),
        ("r4", "unknown_product", "no product a:9"),
    ]


@pytest.mark.parametrize(
    ("languages", "kept"), [(("en",), ["r1"]), (("en", "de"), ["r1", "r2"]), ((), ["r1", "r2", "r3"])]
)
def test_reviews_in_the_recipes_languages_stay_and_without_one_all_do(
    connection, tmp_path, languages: tuple[str, ...], kept: list[str]
) -> None:
    spoken = {"r1": "en", "r2": "de", "r3": "fr"}
    view(connection, tmp_path, "reviews", [{"review_id": key, "product_id": "a:1"} for key in spoken])
    rows = [{"review_id": key, "language": name, "language_score": 0.9} for key, name in spoken.items()]
    view(connection, tmp_path, "languages", rows)
    connection.register("products", pa.Table.from_pylist([{"product_id": "a:1"}], schema=CURATED_PRODUCTS))
    table, _ = curate_reviews(connection, CurateSettings(languages=languages))
    assert table["review_id"].to_pylist() == kept


def test_repeated_relations_are_counted(connection, tmp_path) -> None:
    row = {"product_a": "a", "product_b": "b", "relation": "similar"}
    view(connection, tmp_path, "relations", [row, {**row, "relation": "also_bought"}, row])
    table, rejections = curate_records(connection, "relations")
    assert table["relation"].to_pylist() == ["also_bought", "similar"]
    assert [r.record_id for r in rejections] == ["a b similar"]


def test_an_absent_table_is_an_empty_one(connection, tmp_path) -> None:
    view(connection, tmp_path, "questions")
    table, rejections = curate_records(connection, "questions")
    assert (table.num_rows, rejections) == (0, [])
