"""A build whose shop has edited images: with a second look they stay in one split."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import Recipe

CC = "category_classification"
PRODUCTS = 24


def write_shop(folder: Path) -> None:
    """Write products of distinct titles; of each second one the image is a crop of the one before."""
    rng = np.random.default_rng(1)
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "title", "category", "image"])
        for number in range(PRODUCTS):
            if number % 2 == 0:
                coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                image = Image.fromarray(coarse).resize((300, 300), Image.Resampling.BICUBIC)
            else:
                image = image.crop((15, 15, 285, 285))
            image.save(folder / f"{number}.jpg", quality=92)
            words = [f"word{number}{letter}" for letter in "abcd"]
            title = " ".join([*words, f"model{number // 2}"])
            writer.writerow([number, title, f"category {number % 3}", f"{number}.jpg"])


def pairs_of_build(folder: Path, second_look: bool) -> tuple[dict[str, int], int]:
    recipe = Recipe.model_validate(
        {
            "name": "looks",
            "seed": 1,
            "sources": [
                {
                    "kind": "catalog",
                    "prefix": "shop",
                    "products": {
                        "path": "products.csv",
                        "id": "id",
                        "title": "title",
                        "category": "category",
                        "images": "image",
                    },
                }
            ],
            "images": {"folders": ["."]},
            "sizes": {"train": 100, "validation": 10, "test": 20, "test_ood": 0},
            "tasks": {CC: {"options": 3}},
            "duplicates": {"second_look": second_look},
        }
    )
    out = folder / f"out-{second_look}"
    build(recipe, out, workspace=folder / "work", data=folder, workers=1)
    found = json.loads((out / "statistics.json").read_text(encoding="utf-8"))["duplicates"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert ("is cropped, has a border or is covered in part" in card) is second_look
    return found["pairs"], found["clusters"]


def test_a_second_look_keeps_edited_images_in_one_split(tmp_path: Path) -> None:
    write_shop(tmp_path)
    pairs, clusters = pairs_of_build(tmp_path, second_look=False)
    assert (pairs["edited_image"], clusters) == (0, PRODUCTS)
    pairs, clusters = pairs_of_build(tmp_path, second_look=True)
    assert (pairs["edited_image"], clusters) == (PRODUCTS // 2, PRODUCTS // 2)
