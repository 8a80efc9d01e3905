"""Shops in five scripts: reviews are long enough, and near titles stay in one split."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mmecinstruct.duplicates.titles import near_texts_between
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import Recipe

CC, PSI, SA = "category_classification", "product_substitute_identification", "sentiment_analysis"
SHOPS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).with_name("data") / "scripts.yaml").read_text(encoding="utf-8")
)
SIZES = {"train": 2000, "validation": 300, "test": 600, "test_ood": 0}


def write_shop(shop: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write 20 articles, each also under two titles with a mark, and 60 reviews; return the titles by product."""
    joined = " " if shop["language"] in ("en", "hi") else ""
    titles: dict[str, str] = {}
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "title", "category", "image"])
        for article, category in shop["articles"]:
            for quality in shop["qualities"]:
                for mark in ["", *shop["marks"]]:
                    name = f"C{len(titles):02}"
                    titles[name] = joined.join(part for part in (quality, article, mark) if part)
                    writer.writerow([name, titles[name], category, f"https://img.example.com/{name}.jpg"])
    sentences = shop["sentences"]
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["product", "user", "rating", "text"])
        for number, name in enumerate(titles):
            sentence, rating = sentences[number % 6]
            start = sentences[number // 6 % 6][0][: 10 + number // 10]
            writer.writerow([name, f"u{number}", rating, sentence + joined + start])
    return titles


def built(folder: Path, sources: list[dict[str, Any]], **settings: Any) -> tuple[BuildReport, Path]:
    recipe = Recipe.model_validate(
        {
            "name": "scripts",
            "seed": 1,
            "sources": sources,
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
            "images": {"publish": "reference", "read": False},
            "sizes": SIZES,
            **settings,
        }
    )
    return build(recipe, folder / "out", workspace=folder / "work", data=folder, workers=1), folder / "out"


@pytest.mark.parametrize("script", SHOPS)
def test_a_shop_in_any_script_keeps_its_reviews_and_its_near_titles_together(
    script: str, tmp_path: Path
) -> None:
    shop = SHOPS[script]
    titles = write_shop(shop, tmp_path)
    catalogue = {
        "kind": "catalog",
        "prefix": "shop",
        "products": {
            "path": "products.csv",
            "id": "id",
            "title": "title",
            "category": "category",
            "images": "image",
        },
        "reviews": {
            "path": "reviews.csv",
            "product": "product",
            "rating": "rating",
            "text": "text",
            "user": "user",
        },
    }
    report, out = built(
        tmp_path,
        [catalogue],
        tasks={SA: {"product_image": True, "min_words": 3}, CC: {}},
        curate={"languages": [shop["language"]]},
    )
    stages = {stage["stage"]: stage for stage in report.stages}
    assert (stages[f"task-{SA}"]["kept"], stages[f"task-{SA}"]["rejected"]) == (60, 0)
    statistics = json.loads((out / "statistics.json").read_text(encoding="utf-8"))
    assert statistics["duplicates"]["clusters"] == 20
    split_of = {
        row["group_ids"]["products"][0].removeprefix("shop:"): path.name.partition("-")[0]
        for path in sorted((out / CC).glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }
    sides = [
        [title for name, title in titles.items() if split_of.get(name) in splits]
        for splits in (("train",), ("validation", "test"))
    ]
    assert all(sides)
    assert len(near_texts_between(*sides, 0.85)[0]) == 0
    audit = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert not {finding["kind"] for finding in audit["findings"]} & {"title_near", "title_identical"}


QUERIES = {
    "jp": [
        "マグカップ 大容量",
        "ステンレス鍋",
        "つみき 木製",
        "クッションカバー 麻",
        "シャベル",
        "物干しラック",
    ],
    "es": [
        "taza de café",
        "olla de acero",
        "bloques de madera",
        "funda de cojín",
        "pala de jardín",
        "tendedero",
    ],
}


@pytest.mark.parametrize("locale", QUERIES)
def test_judgements_of_another_locale_build(locale: str, tmp_path: Path) -> None:
    articles = [article for article, _ in SHOPS["japanese"]["articles"][:6]]
    if locale == "es":
        articles = [f"{query} grande y resistente para toda la familia" for query in QUERIES["es"]]
    products, examples = [], []
    for number, query in enumerate(QUERIES[locale] * 5):
        for label, other in (("E", 0), ("S", 1), ("C", 2), ("I", 3)):
            article = articles[(number + other) % 6]
            product = f"B{number:02}{label}"
            for one in (locale, "us"):
                products.append(
                    {
                        "product_id": product,
                        "product_title": f"{article} {product}" if one == locale else f"Mug {product}",
                        "product_description": None,
                        "product_bullet_point": None,
                        "product_brand": "陶房" if locale == "jp" else "Alfar",
                        "product_color": None,
                        "product_locale": one,
                    }
                )
                examples.append(
                    {
                        "example_id": len(examples),
                        "query": f"{query} {number // 6}" if one == locale else f"mug {number}",
                        "query_id": number if one == locale else 1000 + number,
                        "product_id": product,
                        "product_locale": one,
                        "esci_label": label,
                        "small_version": 1,
                        "large_version": 1,
                        "split": "train",
                    }
                )
    pq.write_table(pa.Table.from_pylist(products), tmp_path / "products.parquet")
    pq.write_table(pa.Table.from_pylist(examples), tmp_path / "examples.parquet")
    source = {
        "kind": "esci",
        "examples": "examples.parquet",
        "products": "products.parquet",
        "locale": locale,
    }
    report, out = built(tmp_path, [source], tasks={PSI: {"require_images": "none"}})
    (stage,) = [stage for stage in report.stages if stage["stage"] == f"task-{PSI}"]
    assert (stage["kept"], stage["rejected"]) == (120, 0)
    rows = [row for path in sorted((out / PSI).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert any(QUERIES[locale][0] in row["input"] for row in rows)
    assert not any("Mug" in row["input"] for row in rows)
