"""Shops whose records repeat, or are too few: built and audited."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmecinstruct.auditing import audit_folder
from mmecinstruct.cli.report import print_report
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import Recipe
from mmecinstruct.text.words import normalised_text

CC, PRP, SA = "category_classification", "product_relation_prediction", "sentiment_analysis"
SIZES = {"train": 2000, "validation": 300, "test": 600, "test_ood": 0}
STRAP = "The strap is long enough to wear across the body and the seams have held for two months."


def write_csv(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def build_shop(folder: Path, tasks: tuple[str, ...], content: dict[str, Any]) -> BuildReport:
    products = {
        "path": "products.csv",
        "id": "id",
        "title": "title",
        "category": "category",
        "images": "images",
    }
    source = {"kind": "catalog", "prefix": "shop", "products": products, **content.pop("source")}
    recipe = {
        "sources": [source],
        "sizes": SIZES,
        "images": {"publish": "reference", "read": False},
        **content,
    }
    return build(
        Recipe.model_validate(recipe),
        folder / "out",
        workspace=folder / "ws",
        data=folder,
        tasks=tasks,
    )


def rows_of(folder: Path, task: str) -> list[dict[str, Any]]:
    return [
        row
        for path in sorted((folder / "out" / task).glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """Build a shop where one user's review stands under six colours of a bag."""
    folder = tmp_path_factory.mktemp("bags")
    goods = [(f"T{n}", f"Harbour Tote {colour}", "Bags > Totes") for n, colour in enumerate(COLOURS)]
    goods += [
        ("X0", "Osterly Oak Desk Lamp", "Home > Lamps"),
        ("X1", "Larkrise Jigsaw, 500 Pieces", "Toys > Puzzles"),
        ("X2", "Brackenby Steel Saucepan", "Kitchen > Pots"),
    ]
    write_csv(
        folder / "products.csv",
        *(
            {"id": key, "title": title, "category": category, "images": f"https://img.example.com/{key}.jpg"}
            for key, title, category in goods
        ),
    )
    reviews = [(f"T{n}", "u1", 5, STRAP) for n in range(len(COLOURS))]
    reviews += [
        ("X0", "u2", 4, "Bright enough to read by, but the switch is stiff in the mornings."),
        ("X1", "u3", 2, "Two pieces were missing from the box and one was bent."),
        ("X2", "u4", 5, "Heats evenly, pours without dripping, and the lid fits tightly."),
    ]
    names = ("product", "user", "rating", "text")
    write_csv(folder / "reviews.csv", *(dict(zip(names, review, strict=True)) for review in reviews))
    columns = {"path": "reviews.csv", **{name: name for name in names}}
    content = {
        "name": "copies",
        "seed": 1,
        "source": {"reviews": columns},
        "split": {"train": 0.5, "validation": 0.0, "test": 0.5},
        "tasks": {SA: {"product_image": True}},
    }
    return folder, build_shop(folder, (SA,), content)


COLOURS = ("Sand", "Moss", "Cobalt", "Plum", "Ochre", "Coral")


def test_one_review_of_a_user_under_six_variants_is_one_sample(bags: tuple[Path, BuildReport]) -> None:
    folder, report = bags
    assert sum(entry["chosen"] for entry in report.sizes[SA].values()) == 4
    texts = [json.loads(row["input"])["review"] for row in rows_of(folder, SA)]
    assert len(texts) == len(set(texts)) == 4
    rejected = pq.read_table(folder / "out" / "rejections" / "rejections.parquet").to_pylist()
    assert [row["reason"] for row in rejected] == ["duplicate_input"] * 5


def test_the_shop_with_repeats_passes_the_audit(bags: tuple[Path, BuildReport]) -> None:
    folder, _ = bags
    report = audit_folder(folder / "out")
    assert not report.exceeded
    assert not [finding for finding in report.findings if finding.kind.startswith("text")]


def test_the_card_says_what_is_compared(bags: tuple[Path, BuildReport]) -> None:
    folder, _ = bags
    card = " ".join((folder / "out" / "README.md").read_text().split())
    assert "in any task, was dropped: 0 in all." in card
    assert "images were compared by their URLs alone" in card


@pytest.fixture(scope="module")
def pots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a shop whose customers say the same of every other product."""
    folder = tmp_path_factory.mktemp("pots")
    names = (
        "Amber Kettle",
        "Basalt Wok",
        "Cedar Board",
        "Dune Lamp",
        "Ember Stove",
        "Fjord Sieve",
        "Gale Fan",
        "Hazel Rack",
    )
    images = "https://img.example.com/"
    write_csv(
        folder / "products.csv",
        *(
            {"id": f"P{n}", "title": title, "category": "Kitchen > Pots", "images": f"{images}{n}.jpg"}
            for n, title in enumerate(names)
        ),
    )
    texts = [
        STRAP if n % 2 else f"Bought in week {n}, and it does what it should." for n in range(len(names))
    ]
    write_csv(
        folder / "reviews.csv",
        *(
            {"product": f"P{n}", "user": f"u{n}", "rating": 5, "text": text, "images": f"{images}r{n}.jpg"}
            for n, text in enumerate(texts)
        ),
    )
    return folder


@pytest.mark.parametrize("compared", [True, False])
def test_a_text_of_training_is_in_no_later_split(pots: Path, tmp_path: Path, compared: bool) -> None:
    columns = {"path": "reviews.csv", "images": "images"}
    content = {
        "name": "pots",
        "seed": 3,
        "source": {"reviews": columns | {name: name for name in ("product", "user", "rating", "text")}},
        "split": {"train": 0.5, "validation": 0.1, "test": 0.4, "decontaminate": compared},
    }
    for file in pots.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    report = build_shop(tmp_path, (SA,), content)
    rows = rows_of(tmp_path, SA)
    held = Counter((normalised_text(json.loads(row["input"])["review"]), row["split"]) for row in rows)
    crossing = {text for text, split in held if split != "train" and held[text, "train"]}
    assert bool(crossing) != compared
    assert bool(report.audit and report.audit.exceeded) != compared
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("split.decontaminate: false" in card) != compared


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport]:
    """Build a shop of eight products, none of which the hash puts into test."""
    folder = tmp_path_factory.mktemp("eight")
    titles = [
        ("Fernhollow Oak Mug Moss No. 0", "Kitchen > Mugs"),
        ("Larkrise Ceramic Saucepan Russet No. 37", "Kitchen > Pots"),
        ("Osterly Cotton Bread Knife Teal No. 74", "Kitchen > Knives"),
        ("Tidewick Enamel Hand Trowel Cream No. 111", "Garden > Tools"),
        ("Pinefold Linen Watering Can Graphite No. 148", "Garden > Watering"),
        ("Quillmere Copper Seed Tray Coral No. 185", "Garden > Sowing"),
        ("Copperlane Willow Desk Lamp Ochre No. 222", "Home > Lamps"),
        ("Wrenmoor Steel Wool Rug Ochre No. 259", "Home > Rugs"),
    ]
    write_csv(
        folder / "products.csv",
        *(
            {
                "id": f"P{n:03d}",
                "title": title,
                "category": category,
                "images": f"https://img.example.com/{n}.jpg",
            }
            for n, (title, category) in enumerate(titles)
        ),
    )
    pairs = [(n, (n + step) % 8) for n in range(8) for step in (1, 3)]
    write_csv(
        folder / "relations.csv",
        *({"a": f"P{a:03d}", "b": f"P{b:03d}", "kind": "also_bought"} for a, b in pairs),
    )
    relations = {
        "path": "relations.csv",
        "product": "a",
        "linked_product": "b",
        "relation": "kind",
        "names": {"also_bought": "also_bought"},
    }
    content = {
        "name": "small-shop",
        "seed": 2,
        "source": {"relations": relations},
        "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    }
    return folder, build_shop(folder, (CC, PRP), content)


def test_an_empty_split_is_named_on_stderr_in_card_and_statistics(
    eight: tuple[Path, BuildReport], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = eight
    assert not report.sizes[CC]["test"]["chosen"] + report.sizes[PRP]["test"]["chosen"]
    empty = json.loads((folder / "out" / "statistics.json").read_text())["empty_splits"]
    assert set(empty) <= set(report.warnings)
    (named,) = [line for line in empty if line.startswith("test is empty: ")]
    assert all(word in named for word in (CC, PRP, "another seed (now 2)", "split.test (now 0.2)"))
    (lacking,) = [line for line in empty if line.startswith(f"{PRP}: no validation sample, but 12 of train")]
    print_report(report)
    written = capsys.readouterr()
    assert f"warning: {named}" in written.err
    assert written.out == ""
    card = (folder / "out" / "README.md").read_text().replace("\\", "")
    assert f"* {named}" in card
    assert f"* {lacking}" in card


def test_every_pair_of_the_small_shop_is_accounted_for(eight: tuple[Path, BuildReport]) -> None:
    folder, report = eight
    kept = sum(entry["chosen"] for entry in report.sizes[PRP].values())
    rejected = pq.read_table(folder / "out" / "rejections" / "rejections.parquet").to_pylist()
    assert kept + sum(row["task"] == PRP for row in rejected) == 16
