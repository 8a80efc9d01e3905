"""The miniature's files, read by the readers of real files: formats, dirt, links, tails."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.duplicates.titles import near_texts
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.sources import parse_file, source_files
from mmecinstruct.sources.settings import (
    AmazonMetadata,
    AmazonQaSource,
    AmazonReviews,
    EsciSource,
    MaveSource,
    SqidSource,
)
from mmecinstruct.synthetic.raw_files import write_miniature
from mmecinstruct.synthetic.raw_files.volumes import volumes_at
from mmecinstruct.text.language import measure_languages

SCALE = 0.001
CATEGORIES = ("Electronics", "Home_and_Kitchen", "Sports_and_Outdoors", "Tools_and_Home_Improvement")
SOURCES = {
    "metadata": AmazonMetadata(kind="amazon18_metadata", path="amazon2018/meta_*.json.gz"),
    "reviews": AmazonReviews(kind="amazon18_reviews", path="amazon2018/*_5.json.gz"),
    "questions": AmazonQaSource(kind="amazonqa", path="amazonqa/*-qar.jsonl"),
    "labels": MaveSource(kind="mave", path="mave/mave_positives_labels.jsonl"),
    "judgements": EsciSource(
        kind="esci",
        examples="esci/shopping_queries_dataset_examples.parquet",
        products="esci/shopping_queries_dataset_products.parquet",
    ),
    "images": SqidSource(kind="sqid", path="sqid/*.csv"),
}
Parsed = tuple[dict[str, list[dict[str, Any]]], list[Rejection]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_miniature(folder, SCALE, 5)
    return folder


@pytest.fixture(scope="module")
def parsed(raw: Path) -> dict[str, Parsed]:
    """Tables and rejections of each source."""
    found: dict[str, Parsed] = {}
    for name, source in SOURCES.items():
        tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
        rejections: list[Rejection] = []
        for file in source_files(source, raw):
            for batch in parse_file(source, file):
                rejections += batch.rejections
                for table, rows in batch.tables.items():
                    tables[table] += rows.to_pylist()
        found[name] = tables, rejections
    return found


def lines_of(path: Path) -> list[bytes]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.removesuffix(b"\n").split(b"\n")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The lines that are JSON."""
    rows = []
    for line in lines_of(path):
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


# --- sizes and lines ---------------------------------------------------------------------------------


def test_every_line_of_the_volume_is_there_beside_three_that_are_none(raw: Path) -> None:
    volumes = volumes_at(SCALE)
    for number, category in enumerate(CATEGORIES):
        for name, rows in (
            (f"meta_{category}", volumes.products[number]),
            (f"{category}_5", volumes.reviews[number]),
        ):
            path = raw / f"amazon2018/{name}.json.gz"
            assert len(rows_of(path)) == rows
            lines = lines_of(path)
            assert len(lines) == rows + 3
            assert lines.count(b"") == 1
            assert sum(b"\xe9" in line for line in lines) == 1


def test_lines_are_about_as_long_as_real_ones(raw: Path) -> None:
    metadata = [
        line for category in CATEGORIES for line in lines_of(raw / f"amazon2018/meta_{category}.json.gz")
    ]
    assert 2_500 < sum(map(len, metadata)) / len(metadata) < 4_000
    reviews = lines_of(raw / "amazon2018/Electronics_5.json.gz")
    assert 500 < sum(map(len, reviews)) / len(reviews) < 800


def test_the_files_that_are_no_real_lines_are_rejected_with_their_line(parsed: dict[str, Parsed]) -> None:
    reasons = {name: Counter(one.reason for one in rejections) for name, (_, rejections) in parsed.items()}
    assert reasons["reviews"]["broken_json"] == reasons["metadata"]["broken_json"] == len(CATEGORIES)
    assert reasons["reviews"]["not_utf8"] == reasons["metadata"]["not_utf8"] == len(CATEGORIES)
    origins = {one.origin for one in parsed["metadata"][1] if one.reason == "broken_json"}
    assert all(
        origin.startswith("amazon2018/meta_") and origin.rpartition(":")[2].isdigit() for origin in origins
    )
    assert set(reasons["labels"]) == {"broken_json", "not_utf8"}


# --- products ----------------------------------------------------------------------------------------


def test_metadata_has_the_fields_of_its_year(raw: Path) -> None:
    common = {
        "category", "tech1", "description", "fit", "title", "also_buy", "tech2", "brand", "feature", "rank",
        "also_view", "details", "main_cat", "similar_item", "date", "price", "asin",
    }  # fmt: skip
    for category in CATEGORIES:
        images = {"image"} if category == "Sports_and_Outdoors" else {"imageURL", "imageURLHighRes"}
        rows = rows_of(raw / f"amazon2018/meta_{category}.json.gz")
        # A few lack their title.
        assert all(set(row) | {"title"} == common | images for row in rows)
        assert sum("title" not in row for row in rows) < 0.02 * len(rows)
        for row in rows:
            if "imageURL" in row:
                assert len(row["imageURL"]) == len(row["imageURLHighRes"])


def test_every_kind_of_dirt_is_there_at_about_its_share(raw: Path) -> None:
    rows = [row for category in CATEGORIES for row in rows_of(raw / f"amazon2018/meta_{category}.json.gz")]

    def share(is_so: Any) -> float:
        return sum(bool(is_so(row)) for row in rows) / len(rows)

    assert share(lambda row: row.get("title", "").startswith("<span")) == pytest.approx(0.03, abs=0.01)
    assert share(lambda row: "getTime" in row.get("title", "")) > 0
    assert share(lambda row: row.get("title", "").endswith('" />')) > 0
    assert share(lambda row: "&amp;" in row.get("title", "")) > 0.01
    assert share(lambda row: row["price"] == "") == pytest.approx(0.45, abs=0.03)
    assert share(lambda row: str(row["price"]).startswith(".a-box-inner")) == pytest.approx(0.03, abs=0.01)
    assert share(lambda row: "<script" in str(row["price"])) > 0
    assert share(lambda row: str(row["price"]).strip().startswith("<div")) > 0
    assert share(lambda row: " - $" in str(row["price"])) > 0.02
    assert share(lambda row: "</span></span></span>" in row["category"]) > 0.005
    assert share(lambda row: any(part.endswith(".") for part in row["category"])) > 0.02
    assert share(lambda row: row["category"] == []) > 0
    assert share(lambda row: any("&amp;" in part for part in row["category"])) > 0.1
    assert share(lambda row: any(" & " in part for part in row["category"])) > 0.1
    assert share(lambda row: row["main_cat"].startswith("<img")) > 0
    assert share(lambda row: row["brand"].startswith("Visit Amazon's")) > 0
    assert share(lambda row: row["brand"] == "") > 0.02
    assert share(lambda row: isinstance(row["rank"], str)) > 0.4
    assert share(lambda row: isinstance(row["rank"], list) and row["rank"]) > 0.3
    assert share(lambda row: row["date"].startswith("<div")) > 0
    assert share(lambda row: any(key.startswith("\n") for key in row["details"])) > 0.5
    assert share(lambda row: row["similar_item"].startswith("<div")) == pytest.approx(0.33, abs=0.03)
    assert share(lambda row: row["also_buy"] == []) == pytest.approx(0.38, abs=0.03)


def test_rows_are_repeated_byte_for_byte(raw: Path) -> None:
    lines = [
        line for category in CATEGORIES for line in lines_of(raw / f"amazon2018/meta_{category}.json.gz")
    ]
    kept = [line for line in lines if line.endswith(b"]}") and b"\xe9" not in line]
    repeated = len(kept) - len(set(kept))
    assert repeated / len(kept) == pytest.approx(0.022, abs=0.008)
    asins = Counter(json.loads(line)["asin"] for line in set(kept))
    assert {asin for asin, count in asins.items() if count > 1} <= {""}


def test_image_urls_have_the_real_forms(raw: Path, parsed: dict[str, Parsed]) -> None:
    rows = [row for category in CATEGORIES for row in rows_of(raw / f"amazon2018/meta_{category}.json.gz")]
    thumbnails = [url for row in rows for url in row.get("imageURL", row.get("image"))]
    assert all(url.startswith("https://images-na.ssl-images-amazon.com/images/I/") for url in thumbnails)
    for expected in (
        "._SX38_SY50_CR,0,0,38,50_.jpg",
        "._SS40_.jpg",
        "PKmb-play-button-overlay-thumb_",
        "%2B",
    ):
        assert any(expected in url for url in thumbnails), expected
    products = parsed["metadata"][0]["products"]
    assert 0.7 < sum(bool(row["image_urls"]) for row in products) / len(products) < 0.85
    assert not any("overlay" in url or "._" in url for row in products for url in row["image_urls"])


def test_titles_are_varied_and_some_are_near_duplicates(parsed: dict[str, Parsed]) -> None:
    by_id = {row["product_id"]: row["title"] for row in parsed["metadata"][0]["products"]}
    titles = list(by_id.values())
    assert 0.95 < len(set(titles)) / len(titles) < 1
    pairs, _ = near_texts(titles, 0.85)
    assert 0.005 < len(set(pairs.ravel().tolist())) / len(titles) < 0.15
    words = Counter(word for title in titles for word in title.split())
    assert len(words) > 2_000


def test_links_lead_mostly_outside(parsed: dict[str, Parsed]) -> None:
    tables = parsed["metadata"][0]
    known = {row["product_id"] for row in tables["products"]}
    inside = [row for row in tables["relations"] if row["product_b"] in known]
    assert 0.2 < len(inside) / len(tables["relations"]) < 0.5
    pairs: dict[frozenset[str], set[str]] = defaultdict(set)
    for row in inside:
        pairs[frozenset((row["product_a"], row["product_b"]))].add(row["relation"])
    single = Counter(next(iter(found)) for found in pairs.values() if len(found) == 1)
    assert min(single[name] for name in ("also_bought", "also_viewed", "similar")) > 0.02 * len(pairs)
    assert sum(len(found) > 1 for found in pairs.values()) > 0.01 * len(pairs)
    degrees = Counter(product for pair in pairs for product in pair)
    assert max(degrees.values()) > 8 * sum(degrees.values()) / len(degrees)


# --- reviews -----------------------------------------------------------------------------------------


def test_reviews_have_the_publishers_fields(raw: Path) -> None:
    always = {"overall", "verified", "reviewTime", "reviewerID", "asin", "reviewerName", "unixReviewTime"}
    rows = rows_of(raw / "amazon2018/Electronics_5.json.gz")
    assert all(always <= set(row) for row in rows)
    assert all(set(row) - always <= {"vote", "style", "reviewText", "summary", "image"} for row in rows)
    assert {type(row["vote"]) for row in rows if "vote" in row} == {str, int}
    styles = [row["style"] for row in rows if "style" in row]
    assert styles
    assert all(
        key.endswith(":") and value.startswith(" ") for style in styles for key, value in style.items()
    )
    assert any("reviewText" not in row for row in rows)
    with_image = [row["image"] for row in rows if "image" in row]
    assert 0.015 < len(with_image) / len(rows) < 0.04
    assert all(url.endswith("._SY88.jpg") for urls in with_image for url in urls)
    assert (
        Counter(row["overall"] for row in rows if row["overall"] == row["overall"]).most_common(1)[0][0]
        == 5.0
    )


def test_texts_have_the_dirt_that_parsers_clean(raw: Path, parsed: dict[str, Parsed]) -> None:
    lines = [line for category in CATEGORIES for line in lines_of(raw / f"amazon2018/{category}_5.json.gz")]
    for expected in (
        b"&#34;",
        b"\\ud83d\\ude00",
        b"shopper@mail.example",
        b"(202) 555-0123",
        b"My name is Shopper.",
    ):
        assert any(expected in line for line in lines), expected
    assert any(b"\\ud83d" in line and b"\\ud83d\\ude00" not in line for line in lines)
    reviews = parsed["reviews"][0]["reviews"]
    language, score = measure_languages(pa.array([row["text"] for row in reviews[:4_000]]))
    found = [
        one for one, sure in zip(language.to_pylist(), score.to_pylist(), strict=True) if (sure or 0) >= 0.8
    ]
    assert 0.95 < found.count("en") / len(found) < 1


def test_a_user_buys_several_things_on_one_day(parsed: dict[str, Parsed]) -> None:
    reviews = [row for row in parsed["reviews"][0]["reviews"] if row["timestamp"] is not None]
    assert all(row["timestamp"] % 86_400 == 0 for row in reviews)
    times: dict[str, list[int]] = defaultdict(list)
    for row in reviews:
        times[row["user_id"]].append(row["timestamp"])
    tied = sum(len(set(one)) < len(one) for one in times.values() if len(one) > 4)
    assert tied > 0.3 * sum(len(one) > 4 for one in times.values())


def test_the_five_core_is_smaller_than_the_file(parsed: dict[str, Parsed]) -> None:
    pairs = {(row["user_id"], row["product_id"]) for row in parsed["reviews"][0]["reviews"]}
    rounds, everything = 0, len(pairs)
    while True:
        users, products = Counter(user for user, _ in pairs), Counter(product for _, product in pairs)
        kept = {(user, product) for user, product in pairs if users[user] >= 5 and products[product] >= 5}
        if kept == pairs:
            break
        pairs, rounds = kept, rounds + 1
    assert rounds >= 4
    assert 0.2 < len(pairs) / everything < 0.8


def test_reviewers_write_in_several_departments(raw: Path) -> None:
    users = [
        {row["reviewerID"] for row in rows_of(raw / f"amazon2018/{category}_5.json.gz")}
        for category in CATEGORIES
    ]
    assert users[0] & users[3]
    assert users[3] - users[0] - users[1] - users[2]


# --- the other publishers ----------------------------------------------------------------------------


def test_questions_of_the_departments_are_of_products_in_their_metadata(
    raw: Path, parsed: dict[str, Parsed]
) -> None:
    known = {row["product_id"] for row in parsed["metadata"][0]["products"]}
    questions = parsed["questions"][0]["questions"]
    named = {"Electronics", "Home & Kitchen", "Sports & Outdoors", "Tools & Home Improvement"}
    ours = [row for row in questions if row["category"] in named]
    assert 0.4 < len(ours) / len(questions) < 0.75
    # Repeated rows leave products out, dirty titles reject some.
    assert sum(row["product_id"] in known for row in ours) > 0.85 * len(ours)
    assert len({row["category"] for row in questions}) == 17
    assert sum(row["answerable"] for row in questions) / len(questions) == pytest.approx(0.62, abs=0.06)


def test_the_three_files_of_questions_share_no_product(raw: Path) -> None:
    files = {name: rows_of(raw / f"amazonqa/{name}-qar.jsonl") for name in ("train", "val", "test")}
    products = {name: {row["asin"] for row in rows} for name, rows in files.items()}
    assert not products["train"] & products["val"]
    assert not products["train"] & products["test"]
    assert not products["val"] & products["test"]
    assert "top_sentences_IR" in files["test"][0]
    assert "top_sentences_IR" not in files["train"][0]
    for rows in files.values():
        for row in rows:
            assert 1 <= len(row["review_snippets"]) <= 10
            assert row["is_answerable"] in (0, 1)
            assert row["questionType"] in ("yesno", "descriptive")
            assert row["answers"]
    qids = [row["qid"] for rows in files.values() for row in rows]
    assert len(set(qids)) == len(qids)


def test_labels_name_the_category_and_its_span_in_the_title(raw: Path, parsed: dict[str, Parsed]) -> None:
    titles = {row["product_id"]: row for row in parsed["metadata"][0]["products"]}
    rows = rows_of(raw / "mave/mave_positives_labels.jsonl")
    ours = [row for row in rows if f"amazon18:{row['id']}" in titles]
    assert 0.15 < len(ours) / len(rows) < 0.3
    spans = 0
    for row in ours:
        product = titles[f"amazon18:{row['id']}"]
        if len(product["category_path"]) == 3:
            assert product["category_path"][-1] == row["category"]
        for attribute in row["attributes"]:
            for evidence in attribute["evidences"]:
                if evidence["pid"] == 0:
                    assert product["title"][evidence["begin"] : evidence["end"]] == evidence["value"]
                    spans += 1
    assert spans > len(ours)


def test_judgements_are_of_products_that_the_other_file_has(raw: Path) -> None:
    examples = pq.read_table(raw / "esci/shopping_queries_dataset_examples.parquet").to_pylist()
    products = pq.read_table(raw / "esci/shopping_queries_dataset_products.parquet").to_pylist()
    known = {(row["product_locale"], row["product_id"]) for row in products}
    assert len(known) == len(products)
    assert all((row["product_locale"], row["product_id"]) in known for row in examples)
    assert [row["example_id"] for row in examples] == list(range(len(examples)))
    assert {row["product_locale"] for row in examples} == {"us", "es", "jp"}
    assert {row["esci_label"] for row in examples} == {"E", "S", "C", "I"}
    of_query: dict[int, set[Any]] = defaultdict(set)
    for row in examples:
        of_query[row["query_id"]].add(
            (row["query"], row["product_locale"], row["split"], row["small_version"])
        )
    assert all(len(found) == 1 for found in of_query.values())
    assert all(row["query"] == row["query"].strip() != "" for row in examples)
    sources = lines_of(raw / "esci/shopping_queries_dataset_sources.csv")
    assert sources[0] == b"query_id,source"
    assert len(sources) == 1 + sum(volumes_at(SCALE).queries)
    for column in ("product_description", "product_bullet_point", "product_brand", "product_color"):
        assert 0 < sum(row[column] is None for row in products) < len(products)


def test_some_judged_products_are_in_a_departments_file(parsed: dict[str, Parsed]) -> None:
    ours = {row["product_id"].split(":")[1]: row["title"] for row in parsed["metadata"][0]["products"]}
    judged = {row["product_id"].split(":")[1]: row["title"] for row in parsed["judgements"][0]["products"]}
    shared = set(ours) & set(judged)
    assert len(shared) > 20
    assert all(ours[asin] == judged[asin] for asin in shared)


def test_images_are_of_test_products(raw: Path, parsed: dict[str, Parsed]) -> None:
    examples = pq.read_table(raw / "esci/shopping_queries_dataset_examples.parquet").to_pylist()
    test = {
        row["product_id"]
        for row in examples
        if row["product_locale"] == "us" and row["small_version"] == 1 and row["split"] == "test"
    }
    lines = [line.decode().split(",") for line in lines_of(raw / "sqid/product_image_urls.csv")]
    assert lines[0] == ["product_id", "image_url"]
    assert {product for product, _ in lines[1:]} == test
    assert all(url == "" or url.startswith("https://m.media-amazon.com/images/") for _, url in lines[1:])
    more = {line.decode().split(",")[0] for line in lines_of(raw / "sqid/supp_product_image_urls.csv")[1:]}
    assert not more & test
    assert parsed["images"][0]["product_images"]
