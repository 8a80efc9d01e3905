"""Samples of products without images: their instructions speak of none."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow.parquet as pq

from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import Recipe

TASKS = (
    *("answerability_prediction", "category_classification"),
    *("product_substitute_identification", "multiclass_product_classification"),
)
KINDS = (
    "mug",
    "saucepan",
    "bread knife",
    "hand trowel",
    "watering can",
    "lamp",
    "rug",
    "kite",
    "top",
    "bowl",
)
MAKERS = ("Fernhollow", "Larkrise", "Osterly", "Tidewick", "Pinefold", "Wrenmoor")
PROMISES = re.compile(r"\b(?:pictur|image|photo|shown|shows?\b)", re.IGNORECASE)


def write(path: Path, *rows: tuple[object, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def test_only_samples_with_an_image_are_promised_one(tmp_path: Path) -> None:
    write(
        tmp_path / "products.csv",
        ("id", "title", "category", "images"),
        *(
            (
                f"P{n:03}",
                f"{MAKERS[n // 10]} {KINDS[n % 10]} No. {n * 37 % 101}",
                f"Home > {KINDS[n % 10]}",
                f"https://img.example.com/{n}.jpg" if n % 3 == 0 else "",
            )
            for n in range(60)
        ),
    )
    write(
        tmp_path / "judgements.csv",
        ("query", "product", "label"),
        *((f"{MAKERS[n // 10]} {KINDS[n % 10]} for two", f"P{n:03}", "ESCI"[n % 4]) for n in range(60)),
    )
    write(
        tmp_path / "questions.csv",
        ("product", "question", "document", "answerable"),
        *(
            (
                f"P{n:03}",
                f"Does the {KINDS[n % 10]} number {n} fit in a dishwasher?",
                f"I have washed mine, number {n}, for {n % 7 + 2} months.|Its back is plain on number {n}.",
                ("yes", "no")[n % 2],
            )
            for n in range(60)
        ),
    )
    sources = {
        "kind": "catalog",
        "products": {"path": "products.csv", **{c: c for c in ("id", "title", "category", "images")}},
        "judgements": {"path": "judgements.csv", **{c: c for c in ("query", "product", "label")}},
        "questions": {
            "path": "questions.csv",
            **{c: c for c in ("product", "question", "document", "answerable")},
        },
    }
    recipe = Recipe.model_validate(
        {
            "name": "no-images",
            "seed": 1,
            "sources": [sources],
            "images": {"publish": "reference", "read": False},
            "split": {"train": 0.6, "validation": 0.1, "test": 0.3},
            "tasks": {task: {"require_images": "none"} for task in TASKS},
            "sizes": {"train": 100, "validation": 50, "test": 50, "test_ood": 0},
        }
    )
    build(recipe, tmp_path / "out", workspace=tmp_path / "ws", data=tmp_path, tasks=TASKS)
    for task in TASKS:
        paths = sorted((tmp_path / "out" / task).glob("*.parquet"))
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        assert {bool(row["image_roles"]) for row in rows} == {True, False}
        for row in rows:
            for text in filter(None, (row["instruction"], row["instruction_unseen"])):
                assert bool(PROMISES.search(text)) == bool(row["image_roles"])
        assert any(row["instruction_unseen"] for row in rows if not row["image_roles"])
