"""Real shops, built and audited, where MMEC_REAL_DATA names a folder of them."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmecinstruct.auditing import AuditReport, audit_folder
from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import Recipe, load_recipe

ROOT = Path(folder) if (folder := os.environ.get("MMEC_REAL_DATA")) else None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ROOT is None, reason="MMEC_REAL_DATA names no folder of real data"),
]
BY_DESIGN = "by design"
CC = "category_classification"


def audited(recipe: Recipe, data: Path, tmp_path: Path) -> AuditReport:
    built = build(recipe, tmp_path / "out", workspace=tmp_path / "ws", data=data)
    report = audit_folder(tmp_path / "out")
    assert built.audit is not None
    assert report.to_json() == built.audit.to_json() == (tmp_path / "out" / "audit.json").read_text()
    return report


def strict(report: AuditReport) -> Counter[str]:
    """Return the samples with overlaps that are not by design, by kind."""
    found: Counter[str] = Counter()
    for (kind, scope, *_), samples in report.totals.items():
        if scope != BY_DESIGN:
            found[kind] += samples
    return found


def recipe(name: str, sources: list[dict[str, Any]], **more: Any) -> Recipe:
    split = {"train": 0.6, "validation": 0.1, "test": 0.3}
    return Recipe.model_validate({"name": name, "sources": sources, "split": split} | more)


def write_products(folder: Path, rows: list[dict[str, Any]]) -> Path:
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    (folder / "products.jsonl").write_text(text)
    return folder


def catalog(**mapped: str) -> list[dict[str, Any]]:
    products = {"path": "products.jsonl", "id": "id", "title": "title", "category": "category", **mapped}
    return [{"kind": "catalog", "products": products}]


def test_a_clothes_shop_has_no_overlaps(tmp_path: Path) -> None:
    assert ROOT is not None
    report = audited(load_recipe("luma-shop"), ROOT / "luma_shop", tmp_path)
    # Two bags (24-WG086, 24-WG087) have one photograph under two names, which puts them in one cluster.
    assert strict(report) == Counter()
    assert not report.exceeded
    assert {check.kind for check in report.checks if check.status == "no values"} == {
        "user",
        "query",
        "query_id",
        "category",  # no test_ood
    }
    # Communities put all bags into the test split, and clothes with gear are `also_bought`: docs/concepts/audit.md.
    assert {(guess.task, guess.guesser) for guess in report.shortcuts} <= {
        (CC, "shortest_option"),
        (CC, "reverse_popularity"),
        ("product_relation_prediction", "file_length"),
    }


def test_a_clothes_shop_split_by_clusters_has_no_shortcuts(tmp_path: Path) -> None:
    assert ROOT is not None
    made = load_recipe("luma-shop", ["split.scheme=clusters"])
    assert audited(made, ROOT / "luma_shop", tmp_path).shortcuts == []


def test_an_outdoor_shop_has_no_overlaps(tmp_path: Path) -> None:
    assert ROOT is not None
    rows = json.loads((ROOT / "dotnet_eshop" / "catalog.json").read_text())
    data = tmp_path / "data"
    shutil.copytree(ROOT / "dotnet_eshop" / "Pics", data / "Pics")
    products = [
        {
            "id": str(row["Id"]),
            "title": row["Name"],
            "category": f"Outdoor > {row['Type']}",
            "image": f"Pics/{row['Id']}.webp",
        }
        for row in rows
    ]
    tasks = {"category_classification": {"options": 4}}
    # Most products are test rows, so that there are enough to be guessed.
    split = {"train": 0.4, "validation": 0.0, "test": 0.6}
    made = recipe("eshop", catalog(images="image"), tasks=tasks, split=split)
    report = audited(made, write_products(data, products), tmp_path)
    assert strict(report) == Counter()
    assert report.guessed is not None
    assert report.guessed.unguessed == ()
    assert report.shortcuts == []
    assert sum(report.rows[CC].values()) == 98


def test_a_shop_without_images_has_no_overlaps(tmp_path: Path) -> None:
    assert ROOT is not None
    rows = yaml.load((ROOT / "aws_retail_demo" / "products.yaml").read_text(), Loader=yaml.CSafeLoader)
    products = [
        {"id": row["id"], "title": row["name"], "category": f"{row['category']} > {row['style']}"}
        for row in rows
    ]
    (tmp_path / "data").mkdir()
    tasks = {"category_classification": {"options": 6, "require_images": "none"}}
    report = audited(
        recipe("aws", catalog(), tasks=tasks), write_products(tmp_path / "data", products), tmp_path
    )
    # A language model made the names, as if of one pattern.
    assert strict(report).keys() == {"variant"}
    assert not report.exceeded
    assert sum(report.rows[CC].values()) == 2367
    assert not any(check.values for check in report.checks if check.kind.startswith("image_"))


def test_magazines_have_no_overlaps(tmp_path: Path) -> None:
    assert ROOT is not None
    sources = [
        {"kind": "amazon18_metadata", "path": "meta_*.json.gz"},
        {"kind": "amazon18_reviews", "path": "*_5.json.gz"},
    ]
    bare = {"require_images": "none"}
    tasks = {"sentiment_analysis": bare}
    report = audited(
        recipe("magazines", sources, tasks=tasks), ROOT / "amazon2018_magazines_reviews", tmp_path
    )
    assert strict(report) == Counter()
    # Of 19 reviews two are the same.
    assert sum(report.rows["sentiment_analysis"].values()) == 18
