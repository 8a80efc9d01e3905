"""What a build publishes holds no personal data that patterns know, no path of the machine and no secret of a URL."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmecinstruct.dataset import find_shards
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import Recipe

DATA = Path(__file__).parent / "data"
CATEGORIES = [
    "Kitchen > Mugs",
    "Kitchen > Pots",
    "Garden > Tools",
    "Home > Lamps",
    "Toys > Kites",
    "Toys > Blocks",
]
WORDS = [
    "Oaken",
    "Slate",
    "Linen",
    "Ochre",
    "Willow",
    "Enamel",
    "Copper",
    "Bamboo",
    "Cotton",
    "Steel",
    "Ceramic",
    "Marble",
]
SIGNED = [
    "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101&X-Amz-Expires=900&X-Amz-Signature=SECRET",
    "sv=2024-01-01&se=2026-01-01&sig=SECRET%3D",
    "Expires=1700000000&Signature=SECRET&Key-Pair-Id=SECRET",
    "X-Goog-Signature=SECRET&X-Goog-Expires=900",
    "token=SECRET&width=800",
    "v=1700000000&width=800",
]


def rows_of(folder: Path, task: str = "") -> Iterator[dict[str, Any]]:
    for path in find_shards(folder):
        if path.startswith(task):
            yield from pq.read_table(folder / path).to_pylist()


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def build_recipe(recipe: Mapping[str, Any], data: Path, out: Path, workspace: Path) -> BuildReport:
    sizes = {"train": 2000, "validation": 300, "test": 600, "test_ood": 0}
    split = {"train": 0.7, "validation": 0.1, "test": 0.2}
    whole = Recipe.model_validate({"name": "private", "sizes": sizes, "split": split, **recipe})
    return build(whole, out, workspace=workspace, data=data)


# --- texts and URLs of one shop ------------------------------------------------------------------------


SHOP = {
    "sources": [
        {
            "kind": "catalog",
            "prefix": "shop",
            "products": {
                "path": "products.csv",
                "id": "id",
                "title": "title",
                "category": "category",
                "images": "images",
            },
            "reviews": {
                "path": "reviews.csv",
                "product": "product",
                "rating": "rating",
                "text": "text",
                "id": "id",
            },
            "judgements": {
                "path": "judgements.csv",
                "query": "query",
                "product": "product",
                "label": "label",
            },
        }
    ],
    "images": {"publish": "reference", "read": False},
    "tasks": {"sentiment_analysis": {"product_picture": True}},
}
LANGUAGES = {"languages": ["en", "de", "fr", "zh"]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    titles = [row["title"] for row in read("titles.csv")]
    titles += [
        f"{first} {second} Thing"
        for first in ("Oaken", "Slate", "Linen", "Ochre")
        for second in ("Moss", "Plum", "Teal")
    ]
    write(
        folder / "products.csv",
        (
            {
                "id": f"P{number:03d}",
                "title": title,
                "category": CATEGORIES[number % len(CATEGORIES)],
                "images": f"https://img.example.com/{number}.jpg?{SIGNED[number % len(SIGNED)]}",
            }
            for number, title in enumerate(titles)
        ),
    )
    reviews = read("half_masks.csv")
    write(
        folder / "reviews.csv",
        (
            {"id": row["id"], "product": f"P{number % len(titles):03d}", "rating": 5, "text": row["text"]}
            for number, row in enumerate(reviews)
        ),
    )
    write(
        folder / "judgements.csv",
        (
            {"query": row["query"], "product": f"P{number:03d}", "label": "ESCI"[number % 4]}
            for number, row in enumerate(read("queries.csv"))
        ),
    )
    return folder


@pytest.fixture(scope="module")
def built(shop: Path) -> tuple[Path, BuildReport]:
    report = build_recipe({**SHOP, "curate": LANGUAGES}, shop, shop / "out", shop / "ws")
    return shop / "out", report


def inputs(folder: Path, task: str, field: str) -> set[str]:
    return {json.loads(row["input"])[field] for row in rows_of(folder, task)}


def test_queries_are_masked(built: tuple[Path, BuildReport]) -> None:
    expected = {row["right"] for row in read("queries.csv")}
    for task in ("product_substitute_identification", "multiclass_product_classification"):
        found = inputs(built[0], task, "query")
        assert found <= expected
        assert any("[" in query for query in found)


def test_titles_are_masked_in_every_task(built: tuple[Path, BuildReport]) -> None:
    right = {row["title"]: row["right"] for row in read("titles.csv")}
    secret = [title for title, masked in right.items() if title != masked]
    assert len(secret) == 6
    found = inputs(built[0], "category_classification", "title")
    assert set(right.values()) <= found
    found |= inputs(built[0], "product_substitute_identification", "product title")
    assert not found & set(secret)


def test_reviews_are_masked_whole(built: tuple[Path, BuildReport]) -> None:
    assert inputs(built[0], "sentiment_analysis", "review") == {
        row["right"] for row in read("half_masks.csv")
    }


def test_no_signature_is_published_and_a_warning_counts_them(built: tuple[Path, BuildReport]) -> None:
    out, report = built
    urls = {url for row in rows_of(out, "category_classification") for url in row["image_urls"]}
    assert len(urls) == 24
    assert {url.partition("?")[2] for url in urls} == {"", "width=800", "v=1700000000&width=800"}
    assert any("20 URLs were shortened" in warning for warning in report.warnings)
    for path in out.rglob("*"):
        assert not path.is_file() or b"SECRET" not in path.read_bytes()
    assert validate_folder(out) == []


def test_the_card_says_what_was_searched(built: tuple[Path, BuildReport]) -> None:
    texts = (built[0] / "README.md").read_text().partition("## Texts")[2]
    for line in (
        "| reviews and questions | 60 |",
        "| queries | 24 |",
        "| products: title, brand, categories | 24 |",
    ):
        assert line in texts


def test_titles_that_are_left_alone_are_counted_on_the_card(shop: Path, tmp_path: Path) -> None:
    recipe = {**SHOP, "curate": {**LANGUAGES, "mask_titles": False}}
    build_recipe(recipe, shop, tmp_path / "out", shop / "ws")
    found = inputs(tmp_path / "out", "category_classification", "title")
    assert {row["title"] for row in read("titles.csv")} <= found
    texts = (tmp_path / "out" / "README.md").read_text().partition("## Texts")[2]
    assert "| products: title, brand, categories |" not in texts
    assert "those of 6 of 24 products look as though they hold personal data" in texts


# --- markers of Amazon ---------------------------------------------------------------------------------


def test_markers_of_amazon_leave_reviews(tmp_path: Path) -> None:
    plain = "The paint came off after two washes, which is a pity."
    texts = {
        f"[[VIDEOID:0123abcd]] {plain}": plain,
        "Fits like the [[ASIN:B0EXAMPL10 Oak Mug]] that I had.": "Fits like the Oak Mug that I had.",
        "Quick to dry. The media could not be loaded. Good for school.": "Quick to dry. Good for school.",
        "[[VIDEOID:4567abcd]]": "",
        plain: plain,
    }
    with gzip.open(tmp_path / "meta_Examples.jsonl.gz", "wt") as stream:
        for number in range(10):
            image = {"hi_res": f"https://img.example.com/{number}.jpg"}
            product = {
                "parent_asin": f"B0EXAMPL{number:02d}",
                "title": f"{WORDS[number % 12]} {number * 7} Mug",
            }
            stream.write(
                json.dumps(
                    {**product, "main_category": "Kitchen", "categories": ["Kitchen"], "images": [image]}
                )
                + "\n"
            )
    with gzip.open(tmp_path / "Examples.jsonl.gz", "wt") as stream:
        for number in range(10):
            for place, text in enumerate(texts):
                review = {
                    "parent_asin": f"B0EXAMPL{number:02d}",
                    "user_id": f"A{number}{place}",
                    "text": text,
                }
                whole = {**review, "rating": 4.0, "title": "", "timestamp": 1_600_000_000_000 + place}
                stream.write(json.dumps(whole) + "\n")
    recipe = {
        "sources": [
            {"kind": "amazon23_metadata", "path": "meta_*.jsonl.gz"},
            {"kind": "amazon23_reviews", "path": "Examples.jsonl.gz"},
        ],
        "images": {"publish": "reference", "read": False},
        "tasks": {"sentiment_analysis": {"product_picture": True}},
    }
    build_recipe(recipe, tmp_path, tmp_path / "out", tmp_path / "ws")
    assert inputs(tmp_path / "out", "sentiment_analysis", "review") == set(texts.values()) - {""}
    rejected = pq.read_table(tmp_path / "out" / "rejections" / "rejections.parquet").to_pylist()
    assert sum((row["stage"], row["reason"]) == ("sentiment_analysis", "no_text") for row in rejected) == 10


# --- paths ---------------------------------------------------------------------------------------------


def image(number: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).resize((120, 120), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def build_with_paths(folder: Path) -> Path:
    """Build from images that are named by absolute path, by file: and by relative path; two are missing."""
    (folder / "shop" / "pics").mkdir(parents=True)
    forms = [str(folder / "shop"), f"file://{folder}/shop", ".", ""]
    products = []
    for number, word in enumerate(WORDS):
        (folder / "shop" / "pics" / f"{number}.jpg").write_bytes(image(number))
        path = f"{forms[number % 4]}/pics/{number}.jpg".lstrip("/" if number % 4 == 3 else "")
        products.append({"id": f"P{number:03d}", "title": f"{word} Thing No. {37 * number}", "images": path})
    products.append({"id": "P098", "title": "Lost Kite", "images": f"{folder}/shop/pics/lost.jpg"})
    products.append({"id": "P099", "title": "Odd Lamp", "images": f"{folder}/elsewhere/jane.jpg"})
    rows = [{**row, "category": CATEGORIES[place % len(CATEGORIES)]} for place, row in enumerate(products)]
    write(folder / "shop" / "products.csv", rows)
    source = {key: SHOP["sources"][0][key] for key in ("kind", "prefix", "products")}  # type: ignore[index]
    recipe = {"sources": [source], "tasks": {"category_classification": {"options": 4}}}
    build_recipe(recipe, folder / "shop", folder / "out", folder / "ws")
    return folder / "out"


def test_paths_are_published_below_the_data_root_with_the_same_bytes_from_any_folder(tmp_path: Path) -> None:
    one, other = build_with_paths(tmp_path / "a"), build_with_paths(tmp_path / "b" / "deeper")
    urls = sorted(url for row in rows_of(one) for url in row["image_urls"])
    assert urls == sorted(f"pics/{number}.jpg" for number in range(12))
    rejected = pq.read_table(one / "rejections" / "rejections.parquet").to_pylist()
    assert {(row["reason"], row["image_url"]) for row in rejected if row["stage"] == "images"} == {
        ("dead_path", "pics/lost.jpg"),
        ("outside_folders", "…/jane.jpg"),
    }
    files = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    for path in files:
        assert str(tmp_path).encode() not in (one / path).read_bytes()
        # These two hold the fingerprint, in which the different tables are.
        if path.name not in ("README.md", "manifest.json"):
            assert (one / path).read_bytes() == (other / path).read_bytes(), path
    assert validate_folder(one) == []
