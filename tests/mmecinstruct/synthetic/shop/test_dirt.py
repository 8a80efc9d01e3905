"""The fate of the dirt that is planted in the sample shop: rejected with its reason, cleaned, or clustered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmecinstruct.pipeline.assemble import published_record_id
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.synthetic.shop.dirt import PERSONAL_DATA

pytestmark = pytest.mark.slow

Row = dict[str, Any]
Planted = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    folder = tmp_path_factory.mktemp("sample")
    recipe = load_recipe("sample", ["sample.products=300"])
    return folder, build(recipe, folder / "out", workspace=folder / "ws", workers=2)


@pytest.fixture(scope="module")
def planted(sample: tuple[Path, BuildReport]) -> Planted:
    (path,) = (sample[0] / "ws" / "stages" / "synthetic_shop").glob("*/tables/planted_dirt.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def rejections(sample: tuple[Path, BuildReport]) -> list[Row]:
    return pq.read_table(sample[0] / "out" / "rejections" / "rejections.parquet").to_pylist()


def curated(folder: Path, name: str) -> dict[str, Row]:
    (path,) = (folder / "ws" / "stages" / f"curate_{name}").glob(f"*/all/{name}.parquet")
    key = f"{name[:-1]}_id"
    return {row[key]: row for row in pq.read_table(path).to_pylist()}


def test_every_task_has_samples_in_a_small_shop_too(sample: tuple[Path, BuildReport]) -> None:
    assert sample[1].missing == {}


def test_planted_dirt_is_rejected_with_its_reason(planted: Planted, rejections: list[Row]) -> None:
    found = {
        (row["reason"], key)
        for row in rejections
        for key in (row["origin"], row["record_id"], row["image_url"])
    }
    checked = 0
    for kind, entry in planted.items():
        if entry["fate"] != "rejected":
            continue
        for record in entry["records"]:
            keys = {record.get("image_url")}
            if "record_id" in record:
                keys.add(published_record_id("curate_reviews", record["record_id"]))
            if "line" in record:
                keys.add(f"{record['file']}:{record['line']}")
            assert any((entry["reason"], key) in found for key in keys), (kind, record)
            checked += 1
    assert checked >= 20


def test_parsing_and_images_reject_only_planted_dirt(planted: Planted, rejections: list[Row]) -> None:
    expected: dict[str, int] = {}
    for entry in planted.values():
        if entry["fate"] == "rejected":
            expected[entry["reason"]] = expected.get(entry["reason"], 0) + len(entry["records"])
    for reason in (
        "broken_json",
        "title_not_text",
        "truncated_or_corrupt",
        "too_small",
        "dead_path",
        "other_language",
    ):
        assert sum(row["reason"] == reason for row in rejections) == expected[reason], reason


Check = Callable[[Row], bool]
CLEANED: dict[str, Check] = {
    "entity_title": lambda row: "&" in row["title"] and "&amp;" not in row["title"],
    "css_price": lambda row: row["price"] is None,
    "script_price": lambda row: row["price"] is None,
    "bullet_in_category": lambda row: all(
        "." not in name and "<" not in name for name in row["category_path"]
    ),
    "tag_in_category": lambda row: all("<" not in name for name in row["category_path"]),
    "brand_page": lambda row: (
        bool(row["brand"]) and "Visit" not in row["brand"] and "Page" not in row["brand"]
    ),
    "thumbnails_only": lambda row: (
        bool(row["image_urls"]) and all("._" not in url for url in row["image_urls"])
    ),
}


@pytest.mark.parametrize("kind", sorted(CLEANED))
def test_a_cleaned_product_is_kept_without_its_dirt(
    kind: str, sample: tuple[Path, BuildReport], planted: Planted
) -> None:
    products = curated(sample[0], "products")
    records = planted[kind]["records"]
    assert planted[kind]["fate"] == "cleaned"
    assert records
    for record in records:
        assert CLEANED[kind](products[record["record_id"]]), products[record["record_id"]]


def test_lone_surrogates_are_gone(sample: tuple[Path, BuildReport], planted: Planted) -> None:
    reviews, questions = curated(sample[0], "reviews"), curated(sample[0], "questions")
    for record in planted["surrogate_in_review"]["records"]:
        reviews[record["record_id"]]["text"].encode()
    for record in planted["surrogate_in_snippet"]["records"]:
        assert all(snippet.encode() for snippet in questions[record["record_id"]]["document"])


def test_personal_data_is_masked(sample: tuple[Path, BuildReport], planted: Planted) -> None:
    reviews, questions = curated(sample[0], "reviews"), curated(sample[0], "questions")
    for kind, (written, masked) in PERSONAL_DATA.items():
        records = planted[kind]["records"]
        assert len(records) >= 2
        for record in records:
            if kind == "url_in_snippet":
                row = questions[record["record_id"]]
                text = row["document"][0]
            else:
                row = reviews[record["record_id"]]
                text = row["text"]
            assert text.endswith(" " + masked)
            assert written not in text
            assert row["masked"] == [kind.partition("_")[0]]
    others = [
        row
        for table in (reviews, questions)
        for row in table.values()
        if row["masked"] and row.get("review_id", row.get("question_id")) not in planted_ids(planted)
    ]
    assert others == []


def planted_ids(planted: Planted) -> set[str]:
    return {record["record_id"] for kind in PERSONAL_DATA for record in planted[kind]["records"]}


def test_published_samples_hold_tokens_and_no_personal_data(sample: tuple[Path, BuildReport]) -> None:
    published = " ".join(
        text
        for task in ("sentiment_analysis", "answerability_prediction")
        for path in (sample[0] / "out" / task).glob("*.parquet")
        for text in pq.read_table(path, columns=["input"])["input"].to_pylist()
    )
    assert not any(written in published for written, _ in PERSONAL_DATA.values())
    assert sum(masked in published for _, masked in PERSONAL_DATA.values()) >= 2


def test_no_published_rejection_names_a_user(sample: tuple[Path, BuildReport], rejections: list[Row]) -> None:
    users = {row["user_id"].partition(":")[2] for row in curated(sample[0], "reviews").values()}
    assert len(users) > 50
    named = [
        row for row in rejections if users & set(re.split(r"[^A-Za-z0-9]+", " ".join(map(str, row.values()))))
    ]
    assert named == []


def test_near_duplicates_share_a_cluster(sample: tuple[Path, BuildReport], planted: Planted) -> None:
    products = curated(sample[0], "products")
    for record in planted["near_duplicate"]["records"]:
        pair = products[record["record_id"]], products[record["duplicate_of"]]
        assert pair[0]["cluster_id"] == pair[1]["cluster_id"]


def test_every_kind_of_dirt_is_covered(planted: Planted) -> None:
    elsewhere = {"surrogate_in_review", "surrogate_in_snippet", "near_duplicate", *PERSONAL_DATA}
    rejected = {kind for kind, entry in planted.items() if entry["fate"] == "rejected"}
    assert set(planted) == rejected | set(CLEANED) | elsewhere


def test_a_third_of_the_pictorial_tasks_needs_the_image(sample: tuple[Path, BuildReport]) -> None:
    for task in (
        "category_classification",
        "product_substitute_identification",
        "multiclass_product_classification",
        "sequential_recommendation",
    ):
        rows = [
            row
            for path in (sample[0] / "out" / task).glob("*.parquet")
            for row in pq.read_table(path, columns=["visual_critical", "text_only_accuracy"]).to_pylist()
        ]
        critical = [row for row in rows if row["visual_critical"]]
        assert len(critical) >= 0.3 * len(rows), task
        assert all(row["text_only_accuracy"] < 1 for row in critical)
