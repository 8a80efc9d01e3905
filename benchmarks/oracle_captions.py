"""Captions by an oracle that is told what the sample shop drew: a measurement of what captions can give, no captioner.

The sentences name kind, colour, pattern and shape, and in a review the damage, in other sentences than titles have.
They are of the image alone: neither the text of a sample nor its answer is read.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from caslie_model.captions.sidecar import settings_fingerprint, write_captions
from mmecinstruct.dataset.shards import find_shards, parse_shard_path
from mmecinstruct.schemas.captions import captions_path
from mmecinstruct.synthetic.shop.image_spec import ImageSpec, read_specs

NAME = "oracle"
PROVENANCE = {"model": NAME, "version": 1, "measurement": "told what the sample shop drew; no captioner"}
SURFACES = {
    "plain": "of one colour all over",
    "striped": "with stripes across it",
    "dotted": "with dots all over it",
    "checked": "with checks all over it",
}
FORMS = {
    "regular": "Its proportions are as usual.",
    "tall": "It is a high and slender one.",
    "wide": "It is a low and broad one.",
}
STATES = {
    0: "",
    5: " It stands on a table and looks as new.",
    4: " It stands on a table and has scratches.",
    3: " It stands on a table and has a stain.",
    2: " It stands on a table, has a crack, and a piece is missing.",
    1: " It lies on a table in pieces.",
}


def describe(spec: ImageSpec) -> str:
    """Return the caption of an image by the specification that it was drawn from."""
    if spec.flaw == "placeholder":
        return "The picture shows no product."
    return (
        f"The picture shows one of the {spec.fine_category.lower()}, in {spec.colour}, {SURFACES[spec.pattern]}. "
        f"{FORMS[spec.shape]}{STATES[spec.state]}"
    )


def write_oracle_captions(dataset: Path, shop: Path) -> int:
    """Write the oracle's captions of all images of a dataset of the sample shop; return how many.

    Args:
        dataset: The dataset folder.
        shop: The folder with the shop's ground truth.
    """
    specs = {spec.image_id: spec for spec in read_specs(shop)}
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for shard in find_shards(dataset):
        parsed = parse_shard_path(shard)
        assert parsed is not None
        columns = ["id", "images", "image_roles", "image_urls"]
        rows[captions_path(NAME, *parsed[:2])] += [
            _row(sample, position, specs)
            for sample in pq.read_table(dataset / shard, columns=columns).to_pylist()
            for position in range(len(sample["images"]))
        ]
    for path, captions in rows.items():
        write_captions(dataset / path, captions, PROVENANCE)
    return sum(map(len, rows.values()))


def _row(sample: Mapping[str, Any], position: int, specs: Mapping[str, ImageSpec]) -> dict[str, Any]:
    image_id = PurePosixPath(sample["image_urls"][position]).stem
    return {
        "sample_id": sample["id"],
        "position": position,
        "role": sample["image_roles"][position],
        "image": hashlib.sha256(sample["images"][position]["bytes"]).hexdigest(),
        "caption": describe(specs[image_id]),
        "reason": None,
        "captioner": NAME,
        "fingerprint": settings_fingerprint(PROVENANCE)[:16],
    }
