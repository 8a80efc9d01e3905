"""A small shop for `attack.py`, made from a seed: tables, images, the recipe, and the folders that commands make of it.

All goods, names and texts are invented.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from attack_runs import Bench, Digest, digest
from PIL import Image, ImageDraw

PRODUCTS = 60
SIDE = 96  # pixels
KINDS = {
    "Kitchen": ("Teapot", "Colander", "Mug", "Whisk", "Ladle"),
    "Office": ("Stapler", "Notebook", "Lamp", "Ruler", "Binder"),
    "Garden": ("Trowel", "Planter", "Rake", "Lantern", "Hose"),
}
MAKERS = ("Brindle", "Osk", "Tavara", "Quillon", "Merrow", "Fennick", "Halden", "Yarrow", "Corvo", "Lumsen")
COLOURS = ("amber", "teal", "ivory", "crimson", "slate", "olive", "violet", "sand")
MATERIALS = ("oak", "steel", "cork", "glass", "linen", "copper", "bamboo", "enamel")
PRAISE = {
    5: "Wonderful, we use it every single day and would buy it again",
    4: "Good value and well made, only the box was a little dented",
    3: "It does what it should, nothing more and nothing less than that",
    2: "Rather flimsy, and it arrived much later than the shop had said",
    1: "Terrible, it broke on the first day and nobody answered my letter",
}
LETTERS = "bcdfghklmnprstvz"
Row = dict[str, Any]


def word(numbers: random.Random) -> str:
    """Return an invented word."""
    return "".join(numbers.choice(LETTERS) + numbers.choice("aeiou") for _ in range(3)).capitalize()


def products(seed: int, count: int = PRODUCTS) -> list[Row]:
    """Return the rows of the product table."""
    numbers = random.Random(f"{seed} products")
    rows = []
    for number in range(count):
        category = list(KINDS)[number % len(KINDS)]
        kind = numbers.choice(KINDS[category])
        colour, material = numbers.choice(COLOURS), numbers.choice(MATERIALS)
        names = f"{word(numbers)} {word(numbers)}"
        rows.append(
            {
                "id": f"P{number:03}",
                "title": f"{numbers.choice(MAKERS)} {names} {colour} {material} {kind}",
                "category": f"{category} > {kind}",
                "description": f"A {kind.lower()} of {material}, {colour}, named {names}.",
                "price": f"{numbers.randrange(300, 9000) / 100:.2f}",
                "images": f"images/P{number:03}.png",
                "colour": colour,
            }
        )
    return rows


def picture(seed: int, number: int, side: int = SIDE) -> Image.Image:
    """Return an image of shapes that no other product has."""
    numbers = np.random.default_rng((seed, number))
    image = Image.new("RGB", (side, side), tuple(int(v) for v in numbers.integers(150, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(7):
        x, y, size = (int(v) for v in numbers.integers(4, side, 3))
        fill = tuple(int(v) for v in numbers.integers(0, 256, 3))
        (pen.ellipse if numbers.random() < 0.5 else pen.rectangle)(
            (x - size // 3, y - size // 4, x, y), fill=fill
        )
    return image


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def tables(seed: int) -> dict[str, list[Row]]:
    """Return all tables of the shop."""
    numbers = random.Random(f"{seed} tables")
    goods = products(seed)
    ids = [row["id"] for row in goods]
    reviews, questions, judgements, relations = [], [], [], []
    for user in range(30):
        for position, product in enumerate(numbers.sample(ids, 6)):
            rating = numbers.randint(1, 5)
            reviews.append(
                {
                    "product": product,
                    "user": f"u{user}",
                    "rating": rating,
                    "text": f"{PRAISE[rating]}, {word(numbers)} {word(numbers)} said at the {word(numbers)}.",
                    "timestamp": 1_600_000_000 + 86_400 * position + user,
                }
            )
    for row in goods:
        for _ in range(2):
            known = numbers.random() < 0.5
            questions.append(
                {
                    "product": row["id"],
                    "question": f"Is the {word(numbers)} part of this {row['category'].split()[-1]} safe to wash?",
                    "document": f"I bought the {row['title']} in {word(numbers)}. "
                    + ("Washing it is safe." if known else "It looks nice on the shelf."),
                    "answerable": "yes" if known else "no",
                }
            )
    for number in range(36):
        wanted = f"{numbers.choice(COLOURS)} {numbers.choice(MATERIALS)} {word(numbers)}"
        for product in numbers.sample(ids, 4):
            judgements.append(
                {"query": wanted, "product": product, "label": "ESCI"[(number + len(judgements)) % 4]}
            )
    for product in ids:
        for other in numbers.sample([one for one in ids if one != product], 3):
            kind = numbers.choice(("also_bought", "also_viewed", "similar"))
            relations.append({"product": product, "linked_product": other, "relation": kind})
    return {
        "products": goods,
        "reviews": reviews,
        "questions": questions,
        "judgements": judgements,
        "relations": relations,
    }


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def recipe(
    name: str = "attack",
    seed: int = 1,
    *,
    only: Iterable[str] = ("reviews", "questions", "judgements", "relations"),
) -> Row:
    """Return the recipe of the shop, with the product table and those that are named."""
    source: Row = {
        "kind": "catalog",
        "prefix": "shop",
        "products": {
            "path": "products.csv",
            "id": "id",
            "title": "title",
            "category": "category",
            "description": "description",
            "price": "price",
            "currency_code": "EUR",
            "images": "images",
        },
    }
    columns: dict[str, Row] = {
        "reviews": {name: name for name in ("product", "user", "rating", "text", "timestamp")},
        "questions": {name: name for name in ("product", "question", "document", "answerable")},
        "judgements": {name: name for name in ("query", "product", "label")},
        "relations": {name: name for name in ("product", "linked_product", "relation")}
        | {"names": {name: name for name in ("also_bought", "also_viewed", "similar")}},
    }
    for table in only:
        source[table] = {"path": f"{table}.csv", **columns[table]}
    return {
        "name": name,
        "seed": seed,
        "sources": [source],
        "split": {"train": 0.6, "validation": 0.1, "test": 0.3},
        "tasks": {"sentiment_analysis": {"product_image": True}},
        "sizes": {"train": 60, "validation": 10, "test": 20, "test_ood": 0},
        "resources": {"memory": "1GB"},
    }


def write_recipe(path: Path, content: Row) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_shop(folder: Path, seed: int) -> None:
    """Write tables, images and two recipes that differ in their seed."""
    (folder / "images").mkdir(parents=True)
    for name, rows in tables(seed).items():
        write_csv(folder / f"{name}.csv", rows)
    for number in range(PRODUCTS):
        (folder / "images" / f"P{number:03}.png").write_bytes(encoded(picture(seed, number)))
    write_recipe(folder / "recipe.yaml", recipe())
    write_recipe(folder / "other.yaml", recipe("other", 2))


# What several attacks start from: made once, undisturbed.


def shop(bench: Bench) -> Path:
    """Return the folder of the shop."""

    def make() -> Path:
        folder = bench.scratch / "shop"
        write_shop(folder, bench.seed)
        return folder

    return bench.once("shop", make)


def build_command(
    bench: Bench, out: Path, workspace: Path, name: str = "recipe", workers: int = 1
) -> list[str]:
    """Return the command that builds one of the shop's recipes."""
    folder = shop(bench)
    return [
        *("mmec", "build", "--recipe", str(folder / f"{name}.yaml"), "--data", str(folder)),
        *("--out", str(out), "--workspace", str(workspace), "--workers", str(workers)),
    ]


def built(bench: Bench, name: str = "recipe") -> tuple[Path, float]:
    """Return a folder with an undisturbed build (`out`, `workspace`), and the seconds that it took."""

    def make() -> tuple[Path, float]:
        folder = bench.scratch / f"undisturbed-{name}"
        folder.mkdir()
        ran = bench.done(build_command(bench, folder / "out", folder / "workspace", name), folder)
        return folder, ran.seconds

    return bench.once(f"built {name}", make)


def dataset(bench: Bench) -> Path:
    """Return the folder of an undisturbed dataset."""
    return built(bench)[0] / "out"


def built_digest(bench: Bench, name: str = "recipe") -> Digest:
    """Return the digest of the undisturbed dataset folder of a recipe."""
    return digest(built(bench, name)[0] / "out")


def trained(bench: Bench, fusion: str = "text") -> tuple[Path, float]:
    """Return an adapter that was trained undisturbed, and the seconds that it took."""

    def make() -> tuple[Path, float]:
        folder = bench.scratch / f"trained-{fusion}"
        folder.mkdir()
        ran = bench.done(finetune_command(bench, folder / "out", fusion), folder)
        return folder / "out", ran.seconds

    return bench.once(f"trained {fusion}", make)


def finetune_command(bench: Bench, out: Path, fusion: str = "text", *more: str) -> list[str]:
    """Return the command that trains a tiny model for a few steps, with a checkpoint after every second one."""
    return [
        *("caslie_model", "finetune", "--data", str(dataset(bench)), "--out", str(out), "--preset", "tiny"),
        *(
            "--fusion",
            fusion,
            "--tasks",
            "sa,cc",
            "--set",
            "samples_per_task=16",
            "--set",
            "checkpoint_every=2",
        ),
        *("--set", "max_length=1536", *more),
    ]


def evaluate_command(bench: Bench, out: Path, model: Path, *more: str) -> list[str]:
    """Return the command that answers some samples of the dataset."""
    return [
        *(
            "caslie_model",
            "evaluate",
            "--model",
            str(model),
            "--data",
            str(dataset(bench)),
            "--out",
            str(out),
        ),
        *("--tasks", "sa,cc", "--splits", "test", "--scoring", "likelihood", "--batch-size", "2", *more),
    ]


def rows_of(path: Path) -> list[Row]:
    """Return the rows of JSON lines; fails where a line is not JSON, NaN included."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
