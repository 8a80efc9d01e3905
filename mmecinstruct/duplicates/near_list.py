"""List which images of a folder or table are near each other, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.duplicates.images import image_pairs
from mmecinstruct.duplicates.second_look import edited_images, read_sketches
from mmecinstruct.duplicates.settings import DuplicateSettings

# Edited images are searched among so many at most: each is compared with every other.
MOST_IMAGES = 20_000

NEAR_IMAGES = pa.schema(
    [
        ("image_a", pa.string()),  # URL or path
        ("image_b", pa.string()),
        # identical_bytes | identical_pixels | near | mirrored | altered | part | mirrored_altered | mirrored_part
        ("kind", pa.string()),
        ("distance", pa.int16()),  # of the perceptual hashes, in bits
        ("colour_difference", pa.float32()),  # of the thumbnails, in levels of 255
        ("differing", pa.float32()),  # share of cells that differ, of edited images
    ]
)


def near_images_of(images: pa.Table, pixels: Sequence[Path], settings: DuplicateSettings) -> pa.Table:
    """Return the pairs of images that are the same, near, mirrored or edited.

    Of several URLs of the same bytes each is paired with the first, and only the first with other images.

    Args:
        images: IMAGES. Rows of status ok are compared.
        pixels: Files of PIXELS with their sketches.
        settings: Thresholds of near images.

    Returns:
        NEAR_IMAGES in order of the URLs.
    """
    ok = images.filter(pc.and_(pc.equal(images["status"], "ok"), images["image_id"].is_valid()))
    names: dict[str, list[str]] = {}
    for url, image_id in sorted(zip(ok["image_url"].to_pylist(), ok["image_id"].to_pylist(), strict=True)):
        names.setdefault(image_id, []).append(url)
    pairs, _, compared = image_pairs(ok, settings)
    rows = pairs.to_pylist()
    known = {(row["image_a"], row["image_b"]) for row in rows}
    if len(names) <= MOST_IMAGES:
        sketches = read_sketches(pixels, compared["image_id"].to_pylist())
        everything = np.arange(len(sketches.image_ids))
        found = edited_images(sketches, [everything], everything, settings.max_colour_difference)
        rows += [row for row in found if (row["image_a"], row["image_b"]) not in known]
    listed = [_named(row, names) for row in rows]
    for urls in names.values():
        listed += [{"image_a": urls[0], "image_b": url, "kind": "identical_bytes"} for url in urls[1:]]
    listed.sort(key=lambda row: (row["image_a"], row["image_b"]))
    return pa.Table.from_pylist(listed, schema=NEAR_IMAGES)


def _named(row: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    one, other = sorted((names[row["image_a"]][0], names[row["image_b"]][0]))
    return {**row, "image_a": one, "image_b": other}
