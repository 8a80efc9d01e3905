"""Combinations of users: each publisher's files alone and together, from raw files to a valid dataset folder.

The files are generated with their dirt, and the writers say how many lines are to be rejected for which reason.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from mmecinstruct.dataset.shards import REJECTIONS_PATH
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import Recipe, SampleShopSettings, load_recipe
from mmecinstruct.synthetic.shop import write_sample_shop
from tests.mmecinstruct.publisher_files import (
    abo_files,
    amazon2014_files,
    amazon2023_files,
    esci_s_files,
    ratings_files,
)
from tests.mmecinstruct.publisher_files.goods import DOMAINS, asin_of, good, goods, purchases, review_text

AP, CC, PRP = "answerability_prediction", "category_classification", "product_relation_prediction"
PSI, MPC = "product_substitute_identification", "multiclass_product_classification"
SA, SR = "sentiment_analysis", "sequential_recommendation"
OOD = "Tools_and_Home_Improvement"
PAPER_DOMAINS = ("Electronics", "Home_and_Kitchen", "Sports_and_Outdoors", OOD)
SIZES = {"train": 40, "validation": 6, "test": 6, "test_ood": 6}
# Generated reviews are put together from a few sentences, so those of two splits may be alike.
ALIKE = {"tolerances": {"text_near": 1.0, "text_identical": 1.0}}


def built(
    recipe: Recipe, raw: Path, folder: Path, tasks: tuple[str, ...] | None = None
) -> tuple[BuildReport, Path]:
    """Build, check that the folder is valid and that no stage lost a record, and return (report, folder)."""
    out = folder / "out"
    chosen = {} if tasks is None else {"tasks": tasks}
    report = build(recipe, out, workspace=folder / "work", data=raw, workers=1, **chosen)
    assert validate_folder(out) == []
    for stage in report.stages:
        assert stage["records"] == stage["kept"] + stage["rejected"] + stage.get("not_sampled", 0), stage
    return report, out


def recipe_of(text: str) -> Recipe:
    return Recipe.model_validate(yaml.safe_load(text))


def rejected(out: Path, stage: str) -> Counter[str]:
    """Return reason -> rows of a stage in the dataset folder's rejections."""
    table = pq.read_table(out / REJECTIONS_PATH)
    return Counter(table.filter(pc.equal(table["stage"], stage))["reason"].to_pylist())


def samples(out: Path, task: str, split: str) -> list[dict[str, Any]]:
    files = sorted((out / task).glob(f"{split}-*.parquet"))
    return pa.concat_tables(pq.read_table(path) for path in files).to_pylist()


def chosen_sizes(report: BuildReport) -> dict[str, dict[str, int]]:
    return {
        task: {split: entry["chosen"] for split, entry in sizes.items()}
        for task, sizes in report.sizes.items()
    }


# --- Amazon Reviews 2023 -------------------------------------------------------------------------------


@pytest.mark.slow
def test_amazon_2023_alone_makes_tasks_without_relations_or_queries(tmp_path: Path) -> None:
    raw, planted = tmp_path / "raw", Counter[str]()
    for domain in PAPER_DOMAINS:
        # One domain as `datasets` exports it: the same kind of source reads it.
        shape = "datasets" if domain == "Sports_and_Outdoors" else "json_lines"
        planted += amazon2023_files.write_metadata(raw, domain, 220, 1, shape)  # type: ignore[arg-type]
        planted += amazon2023_files.write_reviews(raw, domain, 220, 260, 1)
    recipe = load_recipe(
        "amazon2023", [f"sizes={json.dumps(SIZES)}", "tasks.sequential_recommendation.candidates=8",
                       f"audit={json.dumps(ALIKE)}"]
    )  # fmt: skip
    report, out = built(recipe, raw, tmp_path)

    assert set(report.missing) == {AP, PRP, PSI, MPC}
    assert report.missing[PRP] == ["no relations"]
    assert report.missing[AP] == ["no questions"]
    assert report.missing[PSI] == report.missing[MPC] == ["no judgements"]
    assert chosen_sizes(report) == dict.fromkeys((CC, SA, SR), SIZES)

    repeats = planted.pop("duplicate_id")  # found by curation, not by the reader
    lines = planted.pop("lines")
    parsed = [stage for stage in report.stages if stage["stage"].startswith("parse-")]
    assert sum(stage["records"] for stage in parsed) == lines
    assert rejected(out, "parse") == planted
    assert rejected(out, "curate_products")["duplicate_id"] == repeats

    known = {f"amazon23:{asin_of(domain, number)}" for domain in PAPER_DOMAINS for number in range(220)}
    for split in SIZES:
        for row in samples(out, SA, split):
            assert set(row["product_ids"]) <= known  # by parent_asin, never by a variant's number
        for row in samples(out, CC, split):
            assert len(row["options"]) == 10
            assert row["image_urls"][0].startswith("https://m.media-amazon.com/images/I/")
            assert row["image_ids"] is None or not any(row["image_ids"])
            assert (row["category"] == "Tools & Home Improvement") == (split == "test_ood")


@pytest.mark.slow
def test_a_domain_without_categories_has_no_fine_category(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    amazon2023_files.write_metadata(raw, "All_Beauty", 150, 1, "datasets")
    amazon2023_files.write_reviews(raw, "All_Beauty", 150, 200, 1)
    recipe = recipe_of(
        """
        name: beauty
        seed: 1
        sources:
          - {kind: amazon23_metadata, path: amazon2023/meta_All_Beauty.jsonl.gz}
          - {kind: amazon23_reviews, path: amazon2023/All_Beauty.jsonl.gz}
        images: {publish: reference, read: false}
        sizes: {train: 20, validation: 2, test: 2, test_ood: 0}
        tasks: {sequential_recommendation: {candidates: 8, require_images: any}}
        audit: {tolerances: {text_near: 1.0, text_identical: 1.0}}
        """
    )
    report, _ = built(recipe, raw, tmp_path, (CC, SA, SR))
    assert set(report.sizes) == {SA, SR}  # the main category is there, so both have one
    assert "records rejected" in report.missing[CC][0]


# --- Amazon Berkeley Objects ---------------------------------------------------------------------------


@pytest.mark.slow
def test_berkeley_objects_alone_make_categories_with_images_inside(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    counts = abo_files.write_listings(raw, 320, 1, files=4, image_side=64)
    recipe = load_recipe("abo", ["sizes={train: 60, validation: 8, test: 8, test_ood: 0}"])
    report, out = built(recipe, raw, tmp_path)

    assert set(report.missing) == {AP, PRP, PSI, MPC, SA, SR}
    assert chosen_sizes(report)[CC] == {"train": 60, "validation": 8, "test": 8}
    [said] = report.warnings
    assert said.startswith(
        f"abo: not in {raw}, so that the dataset lacks what they hold: abo/listings_4.json.gz, "
    )
    assert said.count("abo/listings_") == 12
    found = rejected(out, "parse")
    assert found["missing_id"] == counts["missing_id"]
    assert found["broken_json"] == counts["broken_json"]
    rows = samples(out, CC, "train")
    assert all(len(row["images"]) == 1 and row["images"][0]["bytes"] for row in rows)
    titles = {item.title for item in goods(abo_files.DOMAIN, 320, 1)}
    assert {json.loads(row["input"])["title"] for row in rows} <= titles  # in English, whatever stood first
    assert "cc-by-4.0" in (out / "README.md").read_text(encoding="utf-8")


# --- ESCI with the images of ESCI-S ------------------------------------------------------------------


@pytest.mark.slow
def test_esci_with_images_of_esci_s_has_queries_of_the_training_file(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    write_sample_shop(SampleShopSettings(products=300, images=False, dirt=False), 1, raw)
    counts = esci_s_files.write_pages(raw, esci_s_files.esci_products(raw), 1)
    recipe = recipe_of(
        """
        name: esci-s
        seed: 1
        sources:
          - kind: esci
            examples: esci/shopping_queries_dataset_examples.parquet
            products: esci/shopping_queries_dataset_products.parquet
          - {kind: esci_s, path: esci_s/esci.json.zst}
        images: {publish: reference, read: false}
        split: {train: 0.6, validation: 0.15, test: 0.25}
        sizes: {train: 40, validation: 4, test: 4, test_ood: 0}
        """
    )
    report, out = built(recipe, raw, tmp_path, (MPC, PSI))
    assert report.missing == {}
    sizes = {"train": 40, "validation": 4, "test": 4}
    assert chosen_sizes(report) == {MPC: sizes, PSI: sizes}
    for task in (MPC, PSI):
        for row in samples(out, task, "train"):
            (url,) = row["image_urls"]
            assert url.startswith("https://m.media-amazon.com/images/I/")
            assert "._" not in url  # brought to full size
    assert rejected(out, "parse")["missing_id"] == counts["missing_id"]


# --- 2014 metadata, ratings ----------------------------------------------------------------------------

SETS_OF_2014 = """
name: amazon2014
seed: 1
sources:
  - {kind: amazon18_metadata, path: amazon2014/meta_*.json.gz}
  - {kind: %s}
images: {publish: reference, read: false}
split: {train: 0.6, validation: 0.2, test: 0.2, ood_categories: [Tools & Home Improvement]}
sizes: {train: 30, validation: 3, test: 3, test_ood: 3}
tasks: {sequential_recommendation: {candidates: 8, require_images: any}}
audit: {tolerances: {text_near: 1.0, text_identical: 1.0}}
"""


@pytest.mark.slow
def test_files_of_2014_make_all_tasks_but_questions_and_queries(tmp_path: Path) -> None:
    raw, planted = tmp_path / "raw", Counter[str]()
    for domain in ("Electronics", OOD):
        planted += amazon2014_files.write_metadata(raw, domain, 250, 1)
        planted += amazon2014_files.write_reviews(raw, domain, 250, 260, 1)
    recipe = recipe_of(SETS_OF_2014 % "amazon18_reviews, path: amazon2014/reviews_*_5.json.gz")
    report, out = built(recipe, raw, tmp_path, (CC, PRP, SR, AP))
    assert report.missing == {AP: ["no questions"]}
    wanted = {"train": 30, "validation": 3, "test": 3, "test_ood": 3}
    assert chosen_sizes(report) == dict.fromkeys((CC, PRP, SR), wanted)
    del planted["lines"]
    assert rejected(out, "parse") == planted


@pytest.mark.slow
def test_ratings_make_sequences_in_any_order_of_columns(tmp_path: Path) -> None:
    published = []
    for order in ("2018", "2014"):
        raw, planted = tmp_path / order / "raw", Counter[str]()
        for domain in ("Electronics", OOD):
            amazon2014_files.write_metadata(raw, domain, 150, 1)
            planted += ratings_files.write_ratings(raw, domain, 150, 220, 1, order)  # type: ignore[arg-type]
        recipe = recipe_of(SETS_OF_2014 % f"amazon18_ratings, path: amazon{order}/*.csv")
        report, out = built(recipe, raw, tmp_path / order, (SR, SA))
        assert re.fullmatch(r"all \d+ records rejected: \d+ no_text.*", report.missing[SA][0])
        assert chosen_sizes(report) == {SR: {"train": 30, "validation": 3, "test": 3, "test_ood": 3}}
        ratings = [stage for stage in report.stages if stage["stage"].startswith("parse-01")]
        assert ratings[0]["records"] == planted["lines"]
        assert ratings[0]["rejected"] == planted.total() - planted["lines"]
        published.append({split: samples(out, SR, split) for split in SIZES})
    assert published[0] == published[1]


# --- a catalogue ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_catalogue_of_the_users_own_beside_a_publishers_reviews(tmp_path: Path) -> None:
    """A shop's export knows the same products by the same numbers: its own tables make its own samples."""
    raw = tmp_path / "raw"
    raw.mkdir()
    domains = ("Electronics", OOD)
    with (raw / "products.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "brand", "category", "description", "price", "images"])
        for domain in domains:
            for item in goods(domain, 150, 1):
                path = " > ".join((item.top, item.middle, item.fine))
                url = f"https://shop.example/{item.image_id}.jpg"
                writer.writerow([item.asin, item.title, item.brand, path, "", f"{item.price}", url])
    with (raw / "reviews.jsonl").open("w", encoding="utf-8") as file:
        for domain in domains:
            for bought in purchases(domain, 150, 220, 1):
                item = good(domain, bought.good, 1)
                row = {
                    "product": item.asin,
                    "rating": bought.rating,
                    "title": "",
                    "text": review_text(item, bought),
                    "user": f"account {bought.user}",
                    "timestamp": bought.seconds,
                    "images": [],
                }
                file.write(json.dumps(row) + "\n")
    recipe = load_recipe(
        "catalog",
        ["images={publish: reference, read: false}", "split.ood_categories=[Tools & Home Improvement]",
         "sizes={train: 30, validation: 3, test: 3, test_ood: 3}",
         "tasks.sequential_recommendation={candidates: 8, require_images: any}",
         f"audit={json.dumps(ALIKE)}"],
    )  # fmt: skip
    report, out = built(recipe, raw, tmp_path)
    assert set(report.missing) == {AP, PRP, PSI, MPC}
    wanted = {"train": 30, "validation": 3, "test": 3, "test_ood": 3}
    assert chosen_sizes(report) == dict.fromkeys((CC, SA, SR), wanted)
    assert {row["category"] for row in samples(out, SR, "test_ood")} == {DOMAINS[OOD][0]}
