"""Builds of shops whose products are variants: groups, titles that tell, one photograph, and oversized clusters."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.dataset import find_shards
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import Recipe

CC = "category_classification"
ARTICLES = {
    "Fernhollow Rain Jacket": "Clothing > Jackets",
    "Tidewick Trail Hoodie": "Clothing > Hoodies",
    "Copperlane Linen Shirt": "Clothing > Shirts",
    "Brackenby Walking Sock": "Clothing > Socks",
    "Osterly Cord Trouser": "Clothing > Trousers",
    "Quillmere Bath Towel": "Home > Towels",
    "Larkrise Duvet Cover": "Home > Bedding",
    "Sandholm Floor Rug": "Home > Rugs",
    "Wrenmoor Dog Bed": "Pets > Beds",
    "Pinefold Cat Tower": "Pets > Towers",
}
SIZES, COLOURS = ("XS", "S", "M", "L", "XL"), ("Moss", "Plum", "Teal")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (96, 96), "white")
    pen = ImageDraw.Draw(image)
    for number in range(9):
        x, y, w, h, *colour = (hash_draw(seed, "draw", str(number), part) for part in "xywhrgb")
        x, y = x % 70, y % 70
        pen.rectangle((x, y, x + 12 + w % 40, y + 12 + h % 40), fill=tuple(part % 256 for part in colour))
    image.save(path, quality=90)


def write(folder: Path, rows: Iterable[dict[str, str]], name: str = "products.csv") -> None:
    rows = list(rows)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def built(folder: Path, out: str, mapped: dict[str, str] | None = None, **more: Any) -> BuildReport:
    products = {
        "path": "products.csv",
        "id": "id",
        "title": "title",
        "category": "category",
        "images": "images",
    }
    sources = [{"kind": "catalog", "products": products | (mapped or {}), **more.pop("tables", {})}]
    content = {"name": out, "sources": sources, "split": {"train": 0.6, "validation": 0.1, "test": 0.3}}
    return build(Recipe.model_validate(content | more), folder / out, workspace=folder / "ws", data=folder)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    columns = ["task", "split", "product_ids", "group_ids", "image_ids"]
    return [
        row
        for path in find_shards(folder)
        for row in pq.read_table(folder / path, columns=columns).to_pylist()
    ]


def articles_by_split(folder: Path) -> dict[str, set[str]]:
    """Return the articles in each split; an id is <article>-<size>-<colour>."""
    found = defaultdict(set)
    for row in rows_of(folder):
        found[row["split"]].update(product.split("-")[0] for product in row["product_ids"])
    return found


def shared(folder: Path) -> set[str]:
    splits = list(articles_by_split(folder).values())
    assert len(splits) > 1
    return {one for number, names in enumerate(splits) for one in names & set().union(*splits[number + 1 :])}


def strict(report: BuildReport) -> Counter[str]:
    assert report.audit is not None
    found: Counter[str] = Counter()
    for finding in report.audit.findings:
        found[finding.kind] += finding.samples
    return found


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten articles of five sizes and three colours, with a photograph of each colour."""
    folder = tmp_path_factory.mktemp("clothes")
    rows = []
    for number, (title, category) in enumerate(ARTICLES.items()):
        for place, colour in enumerate(COLOURS):
            draw(folder / "pics" / f"{number}-{place}.jpg", 10 * number + place)
            rows += [
                {
                    "id": f"A{number}-{size}-{colour}",
                    "group": f"A{number}",
                    "title": f"{title}-{size}-{colour}",
                    "category": category,
                    "images": f"pics/{number}-{place}.jpg",
                }
                for size in SIZES
            ]
    write(folder, rows)
    return folder


def test_a_mapped_group_stays_in_one_split_and_is_published(clothes: Path) -> None:
    report = built(clothes, "grouped", {"group": "group"}, duplicates={"recognise_variants": False})
    assert shared(clothes / "grouped") == set()
    assert strict(report) == Counter()
    assert validate_folder(clothes / "grouped") == []
    rows = rows_of(clothes / "grouped")
    assert len(rows) == 150
    for row in rows:
        (product,) = row["product_ids"]
        assert row["group_ids"]["groups"] == [product.split("-")[0]]
        assert len(row["image_ids"]) == 1
    # They stay products, and clusters are what they were: of one photograph.
    assert len({row["group_ids"]["clusters"][0] for row in rows}) == 30


def test_without_a_group_titles_tell(clothes: Path) -> None:
    report = built(clothes, "told")
    assert shared(clothes / "told") == set()
    assert report.audit is not None
    assert not report.audit.exceeded
    assert all(row["group_ids"]["groups"] == [] for row in rows_of(clothes / "told"))


def test_variants_across_splits_are_found_by_the_audit(clothes: Path) -> None:
    report = built(clothes, "parted", duplicates={"recognise_variants": False})
    assert shared(clothes / "parted") != set()
    assert report.audit is not None
    found = {(finding.kind, finding.later): finding.share for finding in report.audit.exceeded}
    assert found["variant", "test"] > 0.9
    assert {kind for kind, _ in found} == {"variant"}


def test_sizes_of_an_article_share_a_photograph_which_is_no_placeholder(tmp_path: Path) -> None:
    rows = []
    for number, (title, category) in enumerate(ARTICLES.items()):
        draw(tmp_path / "pics" / f"{number}.jpg", number)
        same = number < 4
        rows += [
            {
                "id": f"A{number}-{size}",
                "group": f"A{number}",
                "title": f"{title} {size}",
                "category": category,
                "images": f"pics/{number if same else 9}.jpg",
            }
            for size in ("XS", "S", "M", "L", "XL", "XXL", "3XL")[: 7 if same else 1]
        ]
    write(tmp_path, rows)
    built(tmp_path, "out", {"group": "group"}, tasks={CC: {"options": 4}})
    kept = rows_of(tmp_path / "out")
    assert Counter(row["product_ids"][0].split("-")[0] for row in kept) == {f"shop:A{n}": 7 for n in range(4)}
    rejections = pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
    lacking = [row for row in rejections if row["stage"] == "split"]
    assert {row["reason"] for row in lacking} == {"placeholder"}
    assert {row["detail"] for row in lacking} == {"product: placeholder, pics/9.jpg"}
    assert len(lacking) == 6
    (placeholder,) = [row for row in rejections if row["stage"] == "filter"]
    assert placeholder["reason"] == "placeholder"
    assert placeholder["image_url"] == "pics/9.jpg"
    assert placeholder["detail"] == "the same image under 6 unrelated products, at most 5"


@pytest.mark.parametrize("merge", [False, True])
def test_an_oversized_cluster_of_one_title_and_image_crosses_no_split(tmp_path: Path, merge: bool) -> None:
    vouchers = [
        {
            "id": f"V{number:02d}",
            "title": "Larkrise Gift Voucher",
            "category": "Vouchers > Gift Vouchers",
            "images": "https://img.example.com/voucher.jpg",
        }
        for number in range(60)
    ]
    others = [
        {
            "id": f"X{number}",
            "title": f"{title} {number}",
            "category": category,
            "images": f"https://img.example.com/{number}.jpg",
        }
        for number, (title, category) in enumerate(ARTICLES.items())
    ]
    write(tmp_path, [*vouchers, *others])
    links = [(f"V{number:02d}", f"X{(number + step) % 10}") for number in range(60) for step in (1, 4)]
    write(tmp_path, [{"a": a, "b": b, "kind": "also_bought"} for a, b in links], "relations.csv")
    relations = {"path": "relations.csv", "product": "a", "linked_product": "b", "relation": "kind"}
    report = built(
        tmp_path,
        "out",
        tables={"relations": relations | {"names": {"also_bought": "also_bought"}}},
        duplicates={"max_cluster_size": 20, "merge": merge},
        images={"publish": "reference", "read": False},
    )
    assert strict(report) == Counter()
    splits = {
        row["split"] for row in rows_of(tmp_path / "out") if any("V" in one for one in row["product_ids"])
    }
    assert len(splits) == 1
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    found = statistics["duplicates"]
    assert found["largest_split_unit"] == 60


def test_a_build_that_stops_for_placeholders_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "pics" / "soon.jpg", 1)
    write(
        tmp_path,
        [
            {"id": f"A{number}", "title": title, "category": category, "images": "pics/soon.jpg"}
            for number, (title, category) in enumerate(ARTICLES.items())
        ],
    )
    with pytest.raises(RecipeError, match="all 10 records rejected: 10 placeholder"):
        built(tmp_path, "out", tasks={CC: {"options": 4}})
