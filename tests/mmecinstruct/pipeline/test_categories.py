"""Products in several categories, and categories in several spellings, from the cell to the published row."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import Recipe

TASK = "category_classification"
LEAVES = (
    *(("Clothing", "Hoodies"), ("Clothing", "Shirts"), ("Clothing", "Socks"), ("Kitchen", "Mugs")),
    *(("Kitchen", "Pots"), ("Garden", "Tools"), ("Garden", "Seeds")),
)
MAKERS = ("Fernhollow", "Tidewick", "Copperlane", "Brackenby", "Osterly", "Quillmere", "Sandholm", "Larkrise")
SPELLINGS = ("Garden", "garden", "GARDEN", "Garden\u00a0", "\u200bGarden", "\uff27arden")
Paths = list[tuple[str, ...]]


def several(number: int) -> Paths:
    """The categories of a product: one to three, in changing order."""
    more: Paths = [[], [("Sale",)], [("Gifts",)], [("Sale",), ("Gifts",)]][number // len(LEAVES) % 4]
    leaf = LEAVES[number % len(LEAVES)]
    return [*more, leaf] if number % 2 else [leaf, *more]


def build_rows(
    folder: Path, cells: dict[str, str], mapping: dict[str, Any], **more: Any
) -> tuple[Any, list[Any]]:
    """Build CC of products with these cells of categories; return the report and all published rows."""
    folder.mkdir()
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "title", "category", "images"))
        for number, (name, cell) in enumerate(cells.items()):
            title = f"{MAKERS[number % 8]} {MAKERS[number // 8 % 8]} thing {number * 37 % 101} {number}"
            writer.writerow((name, title, cell, f"https://img.example.com/{number}.jpg"))
    columns = {"path": "products.csv", **{name: name for name in ("id", "title", "category", "images")}}
    recipe = Recipe.model_validate(
        {
            "name": "categories",
            "seed": 1,
            "sources": [{"kind": "catalog", "products": columns | mapping}],
            "images": {"publish": "reference", "read": False},
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2, **more},
            "sizes": {"train": 200, "validation": 50, "test": 50, "test_ood": 50},
        }
    )
    report = build(recipe, folder / "out", workspace=folder / "ws", data=folder, tasks=[TASK])
    paths = sorted((folder / "out" / TASK).glob("*.parquet"))
    return report, [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize(
    ("mapping", "between", "below", "above"),
    [
        ({"category_list_separator": ","}, ", ", " > ", ""),
        ({"category_list_separator": "|"}, "|", " > ", ""),
        ({"category_list_separator": ",", "category_separator": "/"}, ",", "/", "Default Category/"),
    ],
    ids=["woocommerce", "pipe", "magento"],
)
def test_no_own_category_is_offered_as_wrong(
    tmp_path: Path, mapping: dict[str, Any], between: str, below: str, above: str
) -> None:
    cells = {f"M{n:02}": between.join(above + below.join(path) for path in several(n)) for n in range(35)}
    _, rows = build_rows(tmp_path / "shop", cells, mapping)
    assert len(rows) == 35
    for row in rows:
        own = several(int(row["product_ids"][0].partition("M")[2]))
        deepest = max(own, key=len)
        options = {option[0]: option[3:] for option in row["options"]}
        assert options.pop(row["output"]) == deepest[-1]
        assert row["category"] == deepest[0]
        assert not set(options.values()) & {path[-1] for path in own}
        assert "Default Category" not in options.values()


def test_any_path_below_an_ood_category_keeps_a_product_from_training(tmp_path: Path) -> None:
    cells = {f"M{n:02}": " | ".join(" > ".join(path) for path in several(n)) for n in range(35)}
    outside = {name for name, cell in cells.items() if "Gifts" in cell}
    _, rows = build_rows(tmp_path / "shop", cells, {"category_list_separator": "|"}, ood_categories=["GIFTS"])
    assert {row["product_ids"][0][5:] for row in rows if row["split"] == "test_ood"} == outside
    assert {row["category"] for row in rows if row["split"] == "test_ood"} == {"Gifts"}
    assert all(row["category"] != "Gifts" for row in rows if row["split"] != "test_ood")


def test_an_ood_category_is_found_in_every_spelling(tmp_path: Path) -> None:
    cells = {
        f"P{n:02}": f"{SPELLINGS[n % 6]} > Tools" if n < 18 else f"{('Home', 'Toys')[n % 2]} > {n % 5}"
        for n in range(60)
    }
    report, rows = build_rows(tmp_path / "shop", cells, {}, ood_categories=["garden"])
    assert Counter(row["category"] for row in rows if row["split"] == "test_ood") == {"Garden": 18}
    assert {row["category"] for row in rows if row["split"] != "test_ood"} == {"Home", "Toys"}
    (said,) = [warning for warning in report.warnings if "spellings" in warning]
    assert "'GARDEN' and 'Garden', 'garden' and 'Garden'" in said
