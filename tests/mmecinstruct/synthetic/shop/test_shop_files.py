"""The sample shop's raw files: the publishers' formats, the planted dirt and its fate."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.duplicates.titles import near_texts
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.recipe import SampleShopSettings, load_recipe
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import parse_file, source_files
from mmecinstruct.synthetic.shop import image_specs, render_images, write_sample_shop
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES, TOP_CATEGORIES, file_name
from mmecinstruct.text.language import measure_languages

METADATA_KEYS = {
    "category", "tech1", "description", "fit", "title", "also_buy", "tech2", "brand", "feature", "rank",
    "also_view", "details", "main_cat", "similar_item", "date", "price", "asin", "imageURL", "imageURLHighRes",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(SampleShopSettings(), 5, folder)
    return folder


@pytest.fixture(scope="module")
def planted(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "planted_dirt.json").read_text())


@pytest.fixture(scope="module")
def parsed(folder: Path) -> tuple[dict[str, list[dict[str, Any]]], list[Rejection]]:
    """All tables and rejections of the parsers for real files."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rejections: list[Rejection] = []
    for source in load_recipe("sample").sources:
        for file in source_files(source, folder):
            for batch in parse_file(source, file):
                rejections += batch.rejections
                for name, table in batch.tables.items():
                    tables[name] += table.to_pylist()
    return tables, rejections


def lines_of(path: Path) -> list[str]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode().splitlines()


def sound_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file without its planted broken line, which ends in the middle."""
    return [json.loads(line) for line in lines_of(path) if line.endswith("}")]


def hashes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_sample_shop(SampleShopSettings(), 5, tmp_path)
    assert hashes(tmp_path) == hashes(folder)


def test_gzip_files_hold_neither_time_nor_name(folder: Path) -> None:
    for path in folder.rglob("*.gz"):
        header = path.read_bytes()[:10]
        assert header[3] == 0, "no name"
        assert header[4:8] == b"\0\0\0\0", "no time"


def test_progress_is_reported_to_the_end(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    settings = SampleShopSettings(products=60)
    write_sample_shop(settings, 1, tmp_path, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("top", TOP_CATEGORIES)
def test_metadata_has_the_schema_of_2021(folder: Path, top: str) -> None:
    rows = sound_rows(folder / "amazon2018" / f"meta_{file_name(top)}.json.gz")
    assert len(rows) >= 180
    for row in rows:
        assert set(row) == METADATA_KEYS
        assert row["category"][0].replace("&amp;", "&") == top
        assert len(row["asin"]) == 10
        assert row["imageURL"][0].endswith("._SX38_SY50_CR,0,0,38,50_.jpg")
        assert isinstance(row["price"], str)
    assert {type(row["rank"]) for row in rows} == {str, list}


@pytest.mark.parametrize("top", TOP_CATEGORIES)
def test_reviews_and_ratings_have_amazons_form(folder: Path, top: str) -> None:
    rows = sound_rows(folder / "amazon2018" / f"{file_name(top)}_5.json.gz")
    users: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for row in rows:
        assert isinstance(row["overall"], float)
        assert isinstance(row.get("vote", ""), str)
        assert row["unixReviewTime"] % 86_400 == 0
        moment = time.gmtime(row["unixReviewTime"])
        assert row["reviewTime"] == f"{time.strftime('%m', moment)} {moment.tm_mday}, {moment.tm_year}"
        assert all(url.endswith("._SY88.jpg") for url in row.get("image", []))
        assert all(key.endswith(":") and value[0] == " " for key, value in row.get("style", {}).items())
        users[row["reviewerID"]] += 1
        items[row["asin"]] += 1
    assert min(users.values()) >= 5
    assert min(items.values()) >= 5
    with (folder / "amazon2018" / f"{file_name(top)}.csv").open(newline="") as file:
        ratings = list(csv.reader(file))
    assert ratings == [
        [row["asin"], row["reviewerID"], str(row["overall"]), str(row["unixReviewTime"])] for row in rows
    ]


def test_esci_and_sqid_have_their_columns_and_join(folder: Path) -> None:
    examples = pq.read_table(folder / "esci/shopping_queries_dataset_examples.parquet")
    assert examples.schema.names == [
        "example_id", "query", "query_id", "product_id", "product_locale", "esci_label", "small_version",
        "large_version", "split",
    ]  # fmt: skip
    assert {str(examples.schema.field(name).type) for name in ("example_id", "query_id")} == {"int64"}
    assert set(examples["esci_label"].to_pylist()) == set("ESCI")
    assert examples["example_id"].to_pylist() == list(range(examples.num_rows))
    products = pq.read_table(folder / "esci/shopping_queries_dataset_products.parquet").to_pylist()
    known = {(row["product_locale"], row["product_id"]) for row in products}
    judged = set(zip(examples["product_locale"].to_pylist(), examples["product_id"].to_pylist(), strict=True))
    assert judged == known
    titles = {
        row["asin"]: row["title"] for row in pq.read_table(folder / "latents/products.parquet").to_pylist()
    }
    assert all(row["product_title"] == titles[row["product_id"]] for row in products)
    with (folder / "sqid/product_image_urls.csv").open(newline="") as file:
        urls = list(csv.DictReader(file))
    assert list(urls[0]) == ["product_id", "image_url"]
    assert {row["product_id"] for row in urls} == {row["product_id"] for row in products}
    assert any("._AC_SX425_.jpg" in row["image_url"] for row in urls)


def test_questions_have_every_field_and_split_by_product(folder: Path) -> None:
    products = {}
    for name in ("train-qar.jsonl", "val-qar.jsonl"):
        rows = sound_rows(folder / "amazonqa" / name)
        assert rows
        for row in rows:
            assert set(row) == {
                "asin", "category", "questionText", "questionType", "review_snippets", "random_sentence",
                "top_sentences_IR", "top_review_wilson", "top_review_helpful", "answers", "is_answerable", "qid",
            }  # fmt: skip
            assert row["is_answerable"] in (0, 1)
            assert 1 <= len(row["review_snippets"]) <= 10
            assert set(row["answers"][0]) == {"answerText", "answerType", "helpful"}
        products[name] = {row["asin"] for row in rows}
    assert not products["train-qar.jsonl"] & products["val-qar.jsonl"]


def test_labels_name_the_fine_category_and_span_the_material(folder: Path) -> None:
    titles = {
        row["asin"]: row["title"] for row in pq.read_table(folder / "latents/products.parquet").to_pylist()
    }
    rows = sound_rows(folder / "mave/mave_positives_labels.jsonl")
    assert len(rows) == len(titles)
    for row in rows:
        assert row["category"] in {category.name for category in FINE_CATEGORIES}
        for attribute in row["attributes"]:
            for evidence in attribute["evidences"]:
                text = titles[row["id"]][evidence["begin"] : evidence["end"]]
                assert text == evidence["value"]


# --- dirt --------------------------------------------------------------------------------------------


def test_every_kind_of_dirt_is_planted(planted: dict[str, Any]) -> None:
    from mmecinstruct.synthetic.shop.dirt import FATES

    assert set(planted) == set(FATES)
    for kind, entry in planted.items():
        assert entry["records"], kind
        assert (entry["reason"] == "") == (entry["fate"] != "rejected"), kind


def test_planted_lines_are_where_the_list_says(folder: Path, planted: dict[str, Any]) -> None:
    marks = {
        "html_title": "<span class=",
        "script_title": "getTime",
        "entity_title": "&amp; Gift Box",
        "css_price": "background-color",
        "script_price": "<script",
        "bullet_in_category": "no fees of any kind",
        "tag_in_category": "</span></span>",
        "brand_page": "Visit Amazon's",
        "thumbnails_only": '"imageURLHighRes": []',
        "surrogate_in_review": "\\ud83d",
        "surrogate_in_snippet": "\\ud83d",
        "no_review_text": '"unixReviewTime"',
    }
    for kind, mark in marks.items():
        for record in planted[kind]["records"]:
            line = lines_of(folder / record["file"])[record["line"] - 1]
            assert mark in line, kind
            assert kind != "no_review_text" or "reviewText" not in line
            key = record["record_id"].split(":")[1]
            assert key in line, kind
    for record in planted["broken_line"]["records"]:
        with pytest.raises(json.JSONDecodeError):
            json.loads(lines_of(folder / record["file"])[record["line"] - 1])
    for record in planted["duplicate_row"]["records"]:
        lines = lines_of(folder / record["file"])
        assert lines.count(lines[record["line"] - 1]) == 2


def test_the_parsers_reject_exactly_the_planted_rejections(
    planted: dict[str, Any], parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]]
) -> None:
    found = Counter(rejection.reason for rejection in parsed[1])
    assert found == {
        "title_not_text": len(planted["html_title"]["records"]) + len(planted["script_title"]["records"]),
        "broken_json": len(planted["broken_line"]["records"]),
        "other_locale": 2 * len(planted["other_locale"]["records"]),  # a judgement and a product each
        "missing_url": len(planted["empty_image_url"]["records"]),
    }
    origins = {rejection.origin for rejection in parsed[1] if rejection.reason == "broken_json"}
    assert origins == {f"{record['file']}:{record['line']}" for record in planted["broken_line"]["records"]}


def test_the_parsers_clean_the_dirt_planted_to_be_cleaned(
    folder: Path,
    planted: dict[str, Any],
    parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]],
) -> None:
    products = {row["product_id"]: row for row in parsed[0]["products"]}
    ground_truth = {
        f"amazon18:{row['asin']}": row
        for row in pq.read_table(folder / "latents/products.parquet").to_pylist()
    }

    def ids(kind: str) -> list[str]:
        assert planted[kind]["fate"] == "cleaned"
        return [record["record_id"] for record in planted[kind]["records"]]

    assert all(products[key]["price"] is None for kind in ("css_price", "script_price") for key in ids(kind))
    for key in ids("entity_title"):
        assert products[key]["title"] == ground_truth[key]["title"]
        assert " & " in products[key]["title"]
    assert all(products[key]["brand"] == ground_truth[key]["brand"] for key in ids("brand_page"))
    for kind in ("bullet_in_category", "tag_in_category"):
        for key in ids(kind):
            assert products[key]["category_path"][-1] == ground_truth[key]["fine_category"]
            assert len(products[key]["category_path"]) == 3
    for key in ids("thumbnails_only"):
        assert products[key]["image_urls"][0].endswith(f"/I/{ground_truth[key]['image_id']}.jpg")
    texts = {row["review_id"]: row["text"] for row in parsed[0]["reviews"]}
    texts |= {row["question_id"]: " ".join(row["document"]) for row in parsed[0]["questions"]}
    for key in ids("surrogate_in_review") + ids("surrogate_in_snippet"):
        texts[key].encode()  # can be stored


def test_dirty_reviews_are_recognised_by_their_language_and_lack_of_words(
    planted: dict[str, Any], parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]]
) -> None:
    reviews = parsed[0]["reviews"]
    texts = pa.array([f"{row['title']} {row['text']}" for row in reviews])
    languages, scores = (column.to_pylist() for column in measure_languages(texts))
    foreign = {
        row["review_id"]
        for row, language, score in zip(reviews, languages, scores, strict=True)
        if language not in (None, "en") and score >= 0.5
    }
    assert foreign == {record["record_id"] for record in planted["foreign_review"]["records"]}
    empty = {row["review_id"] for row in parsed[0]["reviews"] if not row["text"] and not row["title"]}
    assert empty == {record["record_id"] for record in planted["no_review_text"]["records"]}


def test_near_duplicates_and_nothing_else_are_near(
    planted: dict[str, Any], parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]]
) -> None:
    rows = {
        row["product_id"]: row["title"]
        for row in parsed[0]["products"]
        if row["product_id"].startswith("amazon18:")
    }
    ids = list(rows)
    found, _ = near_texts(list(rows.values()), 0.85)
    assert {frozenset((ids[one], ids[other])) for one, other in found.tolist()} == {
        frozenset((record["record_id"], record["duplicate_of"]))
        for record in planted["near_duplicate"]["records"]
    }


def test_repeated_rows_are_reported(
    planted: dict[str, Any], parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]]
) -> None:
    ids = Counter(row["product_id"] for row in parsed[0]["products"])
    twice = {record["record_id"] for record in planted["duplicate_row"]["records"]}
    assert {key for key, count in ids.items() if count > 1} == twice


def test_flawed_images_are_rejected_with_the_listed_reason(
    folder: Path, planted: dict[str, Any], tmp_path: Path, judged_reason: Callable[[bytes], str]
) -> None:
    specs = image_specs(folder)
    flawed = [spec for spec in specs if spec.flaw not in ("", "repacked")]
    render_images(flawed, tmp_path)

    def content(record: dict[str, str]) -> bytes:
        return (tmp_path / "images" / record["image_url"].partition(".example/")[2]).read_bytes()

    for kind in ("truncated_image", "tiny_image"):
        for record in planted[kind]["records"]:
            assert judged_reason(content(record)) == planted[kind]["reason"]
    placeholders = [content(record) for record in planted["placeholder_image"]["records"]]
    assert len(set(placeholders)) == 1
    assert len(placeholders) > ImageSettings().max_products_per_image
    rendered = {spec.image_id for spec in specs}
    for record in planted["dead_image"]["records"]:
        assert Path(record["image_url"]).stem not in rendered


def test_every_named_image_but_the_dead_ones_is_rendered(
    folder: Path,
    planted: dict[str, Any],
    parsed: tuple[dict[str, list[dict[str, Any]]], list[Rejection]],
) -> None:
    tables = parsed[0]
    named = {url for name in ("products", "reviews") for row in tables[name] for url in row["image_urls"]}
    named |= {row["image_url"] for row in tables["product_images"]}
    dead = {record["image_url"] for record in planted["dead_image"]["records"]}
    assert dead <= named
    assert all(url == full_size_url(url) for url in named)
    listed = {f"https://images.sample-shop.example/I/{spec.image_id}.jpg" for spec in image_specs(folder)}
    assert named - dead <= listed


def test_a_clean_shop_has_no_dirt(tmp_path: Path) -> None:
    write_sample_shop(SampleShopSettings(products=300, dirt=False), 5, tmp_path)
    assert json.loads((tmp_path / "planted_dirt.json").read_text()) == {}
    for source in load_recipe("sample").sources:
        for file in source_files(source, tmp_path):
            for batch in parse_file(source, file):
                assert batch.rejections == []
    assert not any(spec.flaw for spec in image_specs(tmp_path))


def test_a_shop_without_images_names_none(tmp_path: Path) -> None:
    write_sample_shop(SampleShopSettings(products=300, images=False), 5, tmp_path)
    assert image_specs(tmp_path) == []
    for path in (tmp_path / "amazon2018").glob("*.json.gz"):
        for row in sound_rows(path):
            assert not row.get("imageURL")
            assert not row.get("imageURLHighRes")
            assert not row.get("image")
    assert len(lines_of(tmp_path / "sqid/product_image_urls.csv")) == 1


def test_dirt_grows_slowly_with_the_shop(planted: dict[str, Any], tmp_path: Path) -> None:
    write_sample_shop(SampleShopSettings(products=5000, images=False), 5, tmp_path)
    larger = json.loads((tmp_path / "planted_dirt.json").read_text())
    for kind in ("html_title", "duplicate_row", "foreign_review", "near_duplicate"):
        assert len(planted[kind]["records"]) < len(larger[kind]["records"]) < 20


def test_a_folder_without_shop_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="write the sample shop"):
        image_specs(tmp_path)


@pytest.mark.slow
def test_a_large_shop_without_images_names_none(tmp_path: Path) -> None:
    write_sample_shop(SampleShopSettings(products=20_000, images=False), 5, tmp_path)
    asins = set()
    for path in (tmp_path / "amazon2018").glob("meta_*.json.gz"):
        for line in gzip.decompress(path.read_bytes()).decode("utf-8", "surrogatepass").splitlines():
            if line.endswith("}"):  # a broken line is planted
                row = json.loads(line)
                asins.add(row["asin"])
                assert row["imageURL"] == row["imageURLHighRes"] == []
    # Near-duplicates are planted beside the products that were asked for; broken lines lose a few.
    assert 0 <= len(asins) - 20_000 < 100
    assert image_specs(tmp_path) == []
