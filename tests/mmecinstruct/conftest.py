"""A small, sound dataset folder of all seven tasks and splits, to be read, damaged and published."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from mmecinstruct.core.duckdb import connect
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset import (
    shard_path,
    shard_plan,
    write_manifest,
    write_recipe,
    write_rejections,
    write_shard,
    write_statistics,
)
from mmecinstruct.images.filter import filter_images
from mmecinstruct.images.locate import LocatedImage
from mmecinstruct.images.measure_all import measure_images
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.publish.card import write_card
from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.rejections import Rejection, rejections_table
from mmecinstruct.schemas.samples import SCHEMA_VERSION, SPLITS, published_schema
from mmecinstruct.schemas.tables import CURATED_PRODUCTS
from mmecinstruct.tasks import TASKS
from tests.servers import image_server

OOD_TASKS = [name for name, task in TASKS.items() if task.has_ood]

ROWS = {"train": 4, "validation": 2, "test": 2, "test_ood": 2}
SHARD_ROWS = 3
Row = dict[str, Any]


class SmallDataset:
    """Makes rows, folders of them, and changes to such folders."""

    tasks_and_splits = tuple(
        (task, split) for task in TASKS for split in SPLITS if split != "test_ood" or task in OOD_TASKS
    )

    def __init__(self) -> None:
        self.pixels: dict[str, bytes] = {}
        self.recipe = Recipe.model_validate(
            {
                "name": "small",
                "description": "Drawn | by `hand`:\n# not a heading",
                "sources": [{"kind": "mave", "path": "labels.jsonl"}],
                "publish": {"pretty_name": 'Small: "shop"', "license": "cc0-1.0", "shard_rows": SHARD_ROWS},
            }
        )

    def image(self, product: str) -> str:
        """Render a product's image once; return its id."""
        image_id = product.encode().hex().ljust(64, "0")
        if image_id not in self.pixels:
            number = sum(product.encode())
            image = Image.new("RGB", (48, 40), (number % 256, number * 7 % 256, number * 13 % 256))
            ImageDraw.Draw(image).ellipse((8, 8, 8 + number % 30, 30), fill="white")
            target = io.BytesIO()
            image.save(target, "JPEG", quality=90)
            self.pixels[image_id] = target.getvalue()
        return image_id

    def rows(self, task: str, split: str) -> list[Row]:
        """Return the rows of one split without `images`; tasks share the products of a split."""
        return [self._row(task, split, number) for number in range(ROWS[split])]

    def _row(self, task: str, split: str, number: int) -> Row:
        products = [f"shop:{split}-{number}", f"shop:{split}-{number}b"]
        value: Any
        options: list[str] = []
        output = ("yes", "no")[number % 2]
        roles = ["product"]
        if task == "answerability_prediction":
            value = {"question": f"Does it rust ({number})?", "document": ["It does.", "Mine did."]}
        elif task == "category_classification":
            value, options, output = {"title": f"Mug {number}"}, ["A: Mugs", "B: Pots", "C: Rugs"], "A"
        elif task == "product_relation_prediction":
            value = {"product 1": "Mug", "product 2": "Pot"}
            options, output, roles = ["A: bought", "B: viewed", "C: similar"], "C", ["product 1", "product 2"]
        elif task == "product_substitute_identification":
            value = {"query": "red mug", "product title": "Mug"}
        elif task == "multiclass_product_classification":
            value = {"query": "red mug", "product title": "Mug"}
            options, output = ["A: exact", "B: substitute", "C: complement", "D: irrelevant"], "D"
        elif task == "sentiment_analysis":
            value, output, roles = {"review": "Came like this."}, "E", ["review"]
            options = ["A: very good", "B: good", "C: fair", "D: bad", "E: very bad"]
        else:
            value = ["1st: Mug", "2nd: Pot", "3rd: Rug"]
            # A popular product is in every list, and the third bought has no image.
            products = ["shop:popular", *products, f"shop:{split}-{number}c"]
            options, output = ["A: Mug", "B: Mug", "C: Pot"], "B"
            roles = ["history 1", "history 2", "option A", "option C"]
        with_image = products[: len(roles)]
        used = with_image if task != "sequential_recommendation" else products
        test, asks_query = split.startswith("test"), "query" in value
        return {
            "id": f"{task[:3]}{list(TASKS).index(task)}-{split}-{number}",
            "task": task,
            "split": split,
            "setting": "OOD" if split == "test_ood" else "IND",
            "category": "Garden | <Outdoor>" if split == "test_ood" else "Kitchen",
            "source": "shop",
            "instruction": "Answer the question.",
            "instruction_id": f"{task}/{number % 2}@12345678",
            "instruction_unseen": "Reply to it." if test else None,
            "instruction_unseen_id": f"{task}/5@12345678" if test else None,
            "input": json.dumps(value),
            "options": options,
            "output": output,
            "image_roles": roles,
            "image_urls": [f"https://shop.example/{product}.jpg" for product in with_image],
            "image_ids": [self.image(product) for product in with_image],
            "image_product_ids": with_image,
            "product_ids": used,
            "group_ids": {
                "products": used,
                "clusters": used,
                "groups": [f"shop:group-{split}"],
                "user": SPLITS.index(split) * 100 + number
                if task in ("sentiment_analysis", "sequential_recommendation")
                else None,
                "query": f"query-{split}-{number}" if asks_query else None,
            },
            "visual_critical": number == 0,
            "text_only_accuracy": 0.5 if number == 0 else None,
            "schema_version": SCHEMA_VERSION,
        }

    def table(self, rows: list[Row]) -> pa.Table:
        schema = published_schema()
        return pa.Table.from_pylist(rows, schema=pa.schema([f for f in schema if f.name != "images"]))

    def write(self, folder: Path, rows: dict[tuple[str, str], list[Row]] | None = None) -> Path:
        """Write a whole dataset folder."""
        if rows is None:
            rows = {key: self.rows(*key) for key in self.tasks_and_splits}
        for (task, split), content in rows.items():
            plan = shard_plan(len(content), SHARD_ROWS)
            for index, (start, stop) in enumerate(plan):
                path = folder / shard_path(task, split, index, len(plan))
                path.parent.mkdir(parents=True, exist_ok=True)
                write_shard(self.table(content[start:stop]), self.pixels, path, row_group_rows=2)
        rejected = [
            Rejection("parse", "not_json", "a { broken | line", "reviews.jsonl:7"),
            Rejection("parse", "not_json", "another", "reviews.jsonl:9"),
            Rejection("images", "truncated", "ends early", "https://shop.example/x.jpg", "shop:x"),
        ]
        write_rejections(folder, [rejections_table(rejected[:1]), rejections_table(rejected[1:])])
        self.seal(folder)
        return folder

    def seal(self, folder: Path) -> None:
        """Write the texts over the shards of the folder."""
        sizes = {
            next(iter(TASKS)): {
                "train": {"wanted": 9, "available": 4, "chosen": 4, "note": "only 4 of 9 | can be built"},
                "test": {"wanted": 2, "available": 2, "chosen": 2, "note": ""},
            }
        }
        stages = [{"stage": "parse", "records": 10, "kept": 8, "rejected": 2}]
        write_recipe(folder, self.recipe)
        statistics = write_statistics(folder, self.recipe, sizes, {}, stages)
        write_card(folder, self.recipe, statistics, "f" * 32)
        write_manifest(folder, self.recipe, "f" * 32)

    def edit_rows(self, folder: Path, path: str, change: Callable[[list[Row]], None]) -> None:
        """Change the rows of a shard in place, images kept, and seal the folder again."""
        file = folder / path
        schema = pq.read_schema(file)
        rows = pq.read_table(file).to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, row_group_size=2)
        write_manifest(folder, self.recipe, "f" * 32)


@pytest.fixture(scope="session")
def small() -> SmallDataset:
    return SmallDataset()


@pytest.fixture(scope="session")
def sound_folder(small: SmallDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder that no test changes."""
    return small.write(tmp_path_factory.mktemp("sound") / "dataset")


@pytest.fixture
def own_folder(sound_folder: Path, tmp_path: Path) -> Path:
    """A copy for one test to damage."""
    return Path(shutil.copytree(sound_folder, tmp_path / "dataset"))


@pytest.fixture
def images() -> Iterator[Any]:
    """A running server of images, with no route yet."""
    with image_server.serving() as server:
        yield server


@pytest.fixture
def judged_reason(tmp_path: Path) -> Callable[..., str]:
    """Measure and filter the bytes of one image as a build does; empty where it is kept."""

    def reason(content: bytes, settings: ImageSettings = ImageSettings()) -> str:  # noqa: B008 (frozen)
        file = tmp_path / "one image"
        file.write_bytes(content)
        images, _, _ = measure_images([LocatedImage("u", str(file), sha256=sha256_file(file))], settings)
        with connect() as connection:
            connection.register("images", images)
            connection.register("products", CURATED_PRODUCTS.empty_table())
            return str(filter_images(connection, settings)[0]["reason"][0].as_py())

    return reason
