"""Curation: one row per id, near-duplicates in clusters, reviews in the recipe's language."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect, create_view
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.products import curate_products
from mmecinstruct.curate.records import curate_questions, curate_records, curate_reviews
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_QUESTIONS, CURATED_REVIEWS, RAW_TABLES
from mmecinstruct.text.language import measure_languages

Row = dict[str, object]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return connect()


def view(connection: duckdb.DuckDBPyConnection, folder: Path, name: str, *files: list[Row]) -> None:
    schema = {**RAW_TABLES, "reviews": CURATED_REVIEWS, "questions": CURATED_QUESTIONS}[name]
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
    table, rejections, _ = curate_products(connection, 0.85)
    assert sum(map(len, files)) == table.num_rows + len(rejections)
    return {row["product_id"]: row for row in table.to_pylist()}, [
        (r.reason, r.record_id) for r in rejections
    ]


@pytest.mark.parametrize("name", ["category=Toys", "a [x] * ? 'q'"])
def test_the_name_of_a_folder_is_no_column_and_no_pattern(connection, tmp_path, name: str) -> None:
    folder = tmp_path / name / "run=3"
    folder.mkdir(parents=True)
    view(connection, folder, "products", [product("a:1", "One", category="Home")], [product("a:2", "Two")])
    rows = connection.sql("SELECT product_id, category, file_index FROM products ORDER BY ALL").fetchall()
    assert rows == [("a:1", "Home", 1), ("a:2", "", 2)]
    assert "run" not in connection.sql("SELECT * FROM products").columns


def test_the_first_row_of_an_id_stays_across_files(connection, tmp_path) -> None:
    rows, rejections = curated(
        connection,
        tmp_path,
        [product("a:1", "first"), product("a:2", "other")],
        [product("a:1", "second"), product("a:2", "other")],
    )
    assert rows["a:1"]["title"] == "first"
    assert rejections == [("duplicate_id", "a:1"), ("duplicate_id", "a:2")]


def test_one_item_in_two_sources_is_one_cluster(connection, tmp_path) -> None:
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


def test_labels_and_images_of_other_publishers_are_joined(connection, tmp_path) -> None:
    rows, _ = curated(
        connection,
        tmp_path,
        [product("esci:1", "mug", image_urls=["own"]), product("esci:2", "hose")],
        labels=[{"product_id": "esci:1", "fine_category": "Mugs"}],
        images=[{"product_id": "esci:1", "image_url": url} for url in ("z", "own", "b", "z")],
    )
    assert rows["esci:1"]["image_urls"] == ["own", "b", "z"]
    assert (rows["esci:1"]["fine_category"], rows["esci:2"]["fine_category"]) == ("Mugs", None)


def test_all_category_paths_of_a_product_are_kept(connection, tmp_path) -> None:
    labels = [{"product_id": "shop:1", "fine_category": None, "category_path": [name]} for name in "CAB"]
    rows, _ = curated(
        connection,
        tmp_path,
        [product("shop:1", "mug", category="B", category_path=["B"]), product("shop:2", "hose")],
        labels=labels,
    )
    assert (rows["shop:1"]["category_path"], rows["shop:1"]["other_category_paths"]) == (
        ["B"],
        [["A"], ["C"]],
    )
    assert (rows["shop:2"]["category_path"], rows["shop:2"]["other_category_paths"]) == ([], [])


def test_the_most_frequent_spelling_of_a_category_is_used(connection, tmp_path) -> None:
    names = ("mugs & Co.", "Mugs & Co.", "Mugs & Co.", "O'Neill's", "MUGS & CO.")
    rows, _ = curated(
        connection,
        tmp_path,
        [
            product(f"shop:{n}", f"thing {n}", category=name, category_path=[name, "O'NEILL'S"][: 1 + n % 2])
            for n, name in enumerate(names)
        ],
        labels=[{"product_id": "shop:3", "fine_category": None, "category_path": ["mugs & Co."]}],
    )
    assert [(row["category"], row["category_path"]) for row in rows.values()] == [
        ("Mugs & Co.", ["Mugs & Co."]),
        ("Mugs & Co.", ["Mugs & Co.", "O'NEILL'S"]),
        ("Mugs & Co.", ["Mugs & Co."]),
        ("O'NEILL'S", ["O'NEILL'S", "O'NEILL'S"]),
        ("Mugs & Co.", ["Mugs & Co."]),
    ]
    assert rows["shop:3"]["other_category_paths"] == [["Mugs & Co."]]


def test_a_category_path_prefers_own_then_label_then_same_item(connection, tmp_path) -> None:
    """ESCI-S has paths and MAVE has names; a product may have both."""
    rows, _ = curated(
        connection,
        tmp_path,
        [
            product("esci:B1", "mug"),
            product("esci:B2", "hose", category="Own", category_path=["Own"]),
            product("esci:B3", "lamp of brass"),
            product("amazon18:B1", "mug", category="Other", category_path=["Other"]),
            product("amazon18:B3", "lamp of brass", category="Other", category_path=["Other", "Lamps"]),
        ],
        labels=[
            {"product_id": "esci:B1", "fine_category": None, "category_path": ["Kitchen", "Mugs"]},
            {"product_id": "esci:B1", "fine_category": "Coffee Mugs", "category_path": []},
            {"product_id": "esci:B2", "fine_category": None, "category_path": ["Garden"]},
            {"product_id": "esci:B3", "fine_category": "Lamps", "category_path": []},
        ],
    )
    assert {
        name: (row["category"], row["category_path"], row["fine_category"]) for name, row in rows.items()
    } == {
        "esci:B1": ("Kitchen", ["Kitchen", "Mugs"], "Coffee Mugs"),
        "esci:B2": ("Own", ["Own"], None),
        "esci:B3": ("Other", ["Other", "Lamps"], "Lamps"),
        "amazon18:B1": ("Other", ["Other"], None),
        "amazon18:B3": ("Other", ["Other", "Lamps"], None),
    }


def test_a_product_on_the_takedown_list_is_rejected_whatever_its_row(connection, tmp_path) -> None:
    view(
        connection,
        tmp_path,
        "products",
        [product("a:1", "mug"), product("a:2", "hose"), product("a:1", "cup")],
    )
    view(connection, tmp_path, "category_labels")
    view(connection, tmp_path, "product_images")
    table, rejections, _ = curate_products(connection, 0.85, frozenset({"a:1", "a:7"}))
    assert table["product_id"].to_pylist() == ["a:2"]
    assert [(r.reason, r.record_id) for r in rejections] == [("taken_down", "a:1")] * 2


def test_languages_are_identified_except_for_short_texts() -> None:
    texts = [
        "This is the best mug that I ever had.",
        "Das ist die beste Tasse, die ich je hatte.",
        "Ok",
        None,
        "[EMAIL] [PHONE] [ADDRESS] [URL]",
    ]
    languages, scores = measure_languages(pa.array(texts))
    assert languages.to_pylist() == ["en", "de", None, None, None]
    assert [score is None or 0 < score <= 1 for score in scores.to_pylist()] == [True] * 5


def test_reviews_are_rejected_with_the_reason_that_applies(connection, tmp_path) -> None:
    def review(
        number: int, language: str | None = "en", score: float | None = 0.9, product_id: str = "a:1"
    ) -> Row:
        row: Row = {"review_id": f"r{number}", "product_id": product_id, "rating": 5, "text": "t"}
        row |= {"user_id": "u", "title": "", "image_urls": ["r.jpg"]}
        return {**row, "language": language, "language_score": score, "masked": ["email"]}

    view(
        connection,
        tmp_path,
        "reviews",
        [review(1), review(2, "de"), review(3, "de", 0.3)],
        [review(1, "de"), review(4, product_id="a:9"), review(5, None, None)],
    )
    connection.register("products", pa.Table.from_pylist([{"product_id": "a:1"}], schema=CURATED_PRODUCTS))
    table, rejections = curate_reviews(connection, CurateSettings())
    assert table.schema == CURATED_REVIEWS
    assert table["review_id"].to_pylist() == ["r1", "r2", "r3", "r5"]
    assert table["masked"].to_pylist() == [["email"]] * 4
    # The words of another language are withheld; that the user has the product stays.
    assert table["text"].to_pylist() == ["t", None, "t", "t"]
    assert table["title"].to_pylist() == ["", None, "", ""]
    assert table["image_urls"].to_pylist() == [["r.jpg"], None, ["r.jpg"], ["r.jpg"]]
    assert table["user_id"].to_pylist() == ["u"] * 4
    assert table["language"].to_pylist() == ["en", "de", "de", None]
    assert [(r.record_id, r.reason, r.detail) for r in rejections] == [
        ("r1", "duplicate_id", "another row has the same id; it came first and stays"),
        ("r4", "unknown_product", "no product a:9"),
    ]


def test_questions_are_rejected_when_repeated_or_in_another_language(connection, tmp_path) -> None:
    def question(number: int, language: str | None, score: float | None) -> Row:
        return {"question_id": f"q{number}", "language": language, "language_score": score}

    view(
        connection,
        tmp_path,
        "questions",
        [question(2, "en", 0.9), question(1, None, None), question(3, "fr", 0.95), question(4, "fr", 0.5)],
        [question(2, "de", 0.9)],
    )
    table, rejections = curate_questions(connection, CurateSettings())
    assert table.schema == CURATED_QUESTIONS
    assert table["question_id"].to_pylist() == ["q1", "q2", "q4"]
    assert [(r.record_id, r.stage, r.reason, r.detail) for r in rejections] == [
        ("q2", "curate_questions", "duplicate_row", "the same record as another row"),
        ("q3", "curate_questions", "other_language", "fr (0.95)"),
    ]


@pytest.mark.parametrize(
    ("languages", "kept"), [(("en",), ["r1"]), (("en", "de"), ["r1", "r2"]), ((), ["r1", "r2", "r3"])]
)
def test_words_in_the_recipes_languages_stay(
    connection, tmp_path, languages: tuple[str, ...], kept: list[str]
) -> None:
    spoken = {"r1": "en", "r2": "de", "r3": "fr"}
    rows = [
        {"review_id": key, "product_id": "a:1", "text": key, "language": name, "language_score": 0.9}
        for key, name in spoken.items()
    ]
    view(connection, tmp_path, "reviews", rows)
    connection.register("products", pa.Table.from_pylist([{"product_id": "a:1"}], schema=CURATED_PRODUCTS))
    table, _ = curate_reviews(connection, CurateSettings(languages=languages))
    assert table["review_id"].to_pylist() == list(spoken)
    assert [text for text in table["text"].to_pylist() if text] == kept


def test_repeated_relations_are_counted(connection, tmp_path) -> None:
    row = {"product_a": "a", "product_b": "b", "relation": "similar"}
    view(connection, tmp_path, "relations", [row, {**row, "relation": "also_bought"}, row])
    table, rejections = curate_records(connection, "relations")
    assert table["relation"].to_pylist() == ["also_bought", "similar"]
    assert [r.record_id for r in rejections] == ["a b similar"]


def test_an_absent_table_is_an_empty_one(connection, tmp_path) -> None:
    for name in ("relations", "judgements"):
        view(connection, tmp_path, name)
        table, rejections = curate_records(connection, name)
        assert (table.num_rows, rejections) == (0, [])
    view(connection, tmp_path, "questions")
    table, rejections = curate_questions(connection, CurateSettings())
    assert (table.num_rows, rejections) == (0, [])
