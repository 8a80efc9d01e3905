"""A dataset whose answers only captions tell: short captions name the right colour, long ones a wrong one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.schemas.captions import CAPTIONS, PROVENANCE_KEY, captions_path

TASK = "category_classification"
COLOURS = ("red", "green", "blue")
THINGS = ("mug", "lamp", "chair", "rug", "kettle", "clock", "shelf", "pillow")


def planted_row(
    make: Callable[..., dict[str, Any]], number: int, split: str, **changes: Any
) -> dict[str, Any]:
    """Return a published row about a colour; two rows in a line are of one product."""
    generator = random.Random(f"{split} {number}")
    options = generator.sample(COLOURS, 3)
    product = f"{split}{number // 2}"
    row = make(number, TASK, split)
    return {
        **row,
        "instruction": "Which colour is it?",
        "input": json.dumps({"title": f"a {generator.choice(THINGS)}"}),
        "options": [f"{letter}: {colour}" for letter, colour in zip("ABC", options, strict=True)],
        "output": generator.choice("ABC"),
        "images": [{"bytes": b"unread", "path": None}],
        "image_roles": ["product"],
        "image_urls": [""],
        "image_ids": [product],
        "image_product_ids": [product],
        "group_ids": {"products": [product], "clusters": [], "groups": [], "user": None, "query": None},
        **changes,
    }


def is_told(number: int) -> bool:
    """Return whether the caption of a row names the right colour."""
    return number % 3 != 0


def planted_caption(row: Mapping[str, Any], long: bool, right: bool) -> str:
    """Return a caption that names a colour, the right one or a wrong one, in a few words or in many."""
    colours = [option[3:] for option in row["options"]]
    answer = colours["ABC".index(row["output"])]
    named = answer if right else next(colour for colour in colours if colour != answer)
    return f"{named} {named}".upper() + (", as a friend of mine said it in a shop on a day" if long else "")


def write_captions(
    folder: Path, captions: Iterable[tuple[Mapping[str, Any], str | None]], name: str = "planted"
) -> None:
    """Write the caption of each row, as the command does."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row, caption in captions:
        rows.setdefault(row["split"], []).append(
            {
                "sample_id": row["id"],
                "position": 0,
                "role": "product",
                "image": "0" * 64,
                "caption": caption,
                "reason": None if caption else "left out",
                "captioner": "planted",
                "fingerprint": "0" * 16,
            }
        )
    schema = CAPTIONS.with_metadata({PROVENANCE_KEY: json.dumps({"model": "planted"})})
    for split, found in rows.items():
        path = folder / captions_path(name, TASK, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(found, schema=schema), path)
