"""A shop's judged pairs: nearly all are kept, in the recipe's shares, and nothing is in two splits."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import Recipe

TASKS = ("product_substitute_identification", "multiclass_product_classification")
MAKERS = ("Fernhollow", "Larkrise", "Osterly", "Tidewick", "Pinefold", "Wrenmoor")
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
COLOURS = ("moss", "sand", "cobalt", "plum", "ochre")


def test_pairs_of_connected_queries_share_a_split(tmp_path: Path) -> None:
    queries = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
    judged = [(queries[n // 6], f"P{n:03}", "SECEI"[n % 5]) for n in range(300)]
    # Ten products have a second query.
    judged += [(queries[(n // 6 + 7) % 50], f"P{n:03}", "I") for n in range(3, 300, 30)]
    with (tmp_path / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [
                ("id", "title", "images"),
                *(
                    (
                        f"P{n:03}",
                        f"{MAKERS[n % 6]} {queries[n // 6]} No. {n * 37 % 311}",
                        f"https://img.example.com/{n}",
                    )
                    for n in range(300)
                ),
            ]
        )
    with (tmp_path / "judgements.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("query", "product", "label"), *judged])
    recipe = Recipe.model_validate(
        {
            "name": "judged",
            "seed": 1,
            "sources": [
                {
                    "kind": "catalog",
                    "products": {"path": "products.csv", "id": "id", "title": "title", "images": "images"},
                    "judgements": {
                        "path": "judgements.csv",
                        **{name: name for name in ("query", "product", "label")},
                    },
                }
            ],
            "images": {"publish": "reference", "read": False},
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
            "sizes": {"train": 500, "validation": 100, "test": 100, "test_ood": 0},
        }
    )
    report = build(recipe, tmp_path / "out", workspace=tmp_path / "ws", data=tmp_path, tasks=TASKS)
    splits_of: defaultdict[str, set[str]] = defaultdict(set)
    for task in TASKS:
        found: Counter[str] = Counter()
        for path in sorted((tmp_path / "out" / task).glob("*.parquet")):
            for row in pq.read_table(path, columns=["split", "group_ids", "product_ids"]).to_pylist():
                found[row["split"]] += 1
                for name in (row["group_ids"]["query"], *row["product_ids"]):
                    splits_of[name].add(row["split"])
        assert found.total() == 310
        shares = {split: count / 310 for split, count in found.items()}
        assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.04)
    assert len(splits_of) == 350
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert set(report.sizes) == set(TASKS)
