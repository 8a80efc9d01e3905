"""A small folder whose samples share nothing, and ways to plant shared content."""

from __future__ import annotations

import functools
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmecinstruct.schemas.samples import published_schema

AP, CC, PRP, PSI, SA, SR = (
    "answerability_prediction",
    "category_classification",
    "product_relation_prediction",
    "product_substitute_identification",
    "sentiment_analysis",
    "sequential_recommendation",
)
SPLITS = ("train", "validation", "test", "test_ood")
ROWS = 3
Row = dict[str, Any]
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def words(number: int, count: int) -> str:
    """Return invented words, different for every number."""
    rng = random.Random(number)
    return " ".join(
        "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(4)) for _ in range(count)
    )


def photograph(number: int, side: int = 96) -> Image.Image:
    """Return an image of soft coloured shapes, different for every number."""
    coarse = np.random.default_rng(number).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


@functools.cache
def photograph_bytes(number: int) -> bytes:
    """Return `photograph` as JPEG."""
    return encoded(photograph(number), quality=90)


@functools.cache
def schema() -> pa.Schema:
    """Return the published schema, computed once."""
    return published_schema()


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


class Shop:
    """The rows of a dataset, by task and split, until they are written."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[Row]] = {}
        number = 0
        for task in (AP, CC, PRP, PSI, SA, SR):
            for split in SPLITS:
                if task == PSI and split == "test_ood":
                    continue
                for position in range(ROWS):
                    number += 1
                    self.rows.setdefault((task, split), []).append(self._row(task, split, position, number))

    def _row(self, task: str, split: str, position: int, number: int) -> Row:
        value: Any = {
            AP: {"question": f"{words(number, 9)}?", "document": [words(1000 + number, 12)]},
            CC: {"title": words(number, 4)},
            PRP: {"product 1": words(number, 4), "product 2": words(1000 + number, 4)},
            PSI: {"query": words(number, 3), "product title": words(1000 + number, 4)},
            SA: {"review": words(number, 15)},
            SR: [f"1st: {words(number, 4)}", f"2nd: {words(1000 + number, 4)}"],
        }[task]
        products = [f"shop:{number}", f"shop:{number}b"]
        return {
            "id": f"{task[:3]}-{split}-{position}",
            "task": task,
            "split": split,
            "category": "Garden" if split == "test_ood" else "Kitchen",
            "instruction": "Answer the question.",
            "input": json.dumps(value),
            "options": [f"A: {words(2000 + number, 4)}", f"B: {words(3000 + number, 4)}"]
            if task == SR
            else [],
            "output": "A",
            "images": [{"bytes": photograph_bytes(number), "path": None}],
            "image_roles": ["product"],
            "image_urls": [f"https://shop.example/I/{number}.jpg"],
            "image_product_ids": products[:1],
            "product_ids": products,
            "group_ids": {
                "products": products,
                "clusters": list(products),
                "groups": [],
                "user": number if task in (SA, SR) else None,
                "query": f"q{number}" if task == PSI else None,
            },
        }

    def row(self, task: str, split: str, position: int = 0) -> Row:
        """Return a row to change."""
        return self.rows[task, split][position]

    def keep(self, *splits: str) -> None:
        """Remove all other splits."""
        self.rows = {key: rows for key, rows in self.rows.items() if key[1] in splits}

    def set_input(self, row: Row, **fields: Any) -> None:
        """Change fields of a row's input."""
        row["input"] = json.dumps({**json.loads(row["input"]), **fields})

    def write(self, folder: Path, without: tuple[str, ...] = ()) -> Path:
        """Write one file per task and split; `without` names columns that the folder does not have."""
        for (task, split), rows in self.rows.items():
            file = folder / task / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            columns = pa.schema([field for field in schema() if field.name not in without])
            pq.write_table(pa.Table.from_pylist(rows, schema=columns), file, row_group_size=2)
        return folder


@pytest.fixture
def shop() -> Shop:
    """Return a shop whose samples share nothing."""
    return Shop()
