"""Specifications of the sample shop's rendered images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import SourceError

# The folder of the ground truth, which the raw files do not have.
GROUND_TRUTH_FOLDER = "latents"
IMAGE_LIST = "images.parquet"

SPECS = pa.schema(
    [
        ("image_id", pa.string()),
        ("fine_category", pa.string()),
        ("colour", pa.string()),
        ("pattern", pa.string()),
        ("shape", pa.string()),
        ("state", pa.int8()),
        ("variation", pa.int64()),
        ("flaw", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The specification of an image.

    Attributes:
        image_id: The image's name.
        fine_category: The product's fine-grained category.
        colour: The product's colour.
        pattern: The product's pattern.
        shape: The product's shape.
        state: 0 in the catalogue; in a review from 5 (as new) to 1 (in pieces).
        variation: The seed of small differences.
        flaw: Empty, truncated, tiny, placeholder or repacked (the same image, compressed more).
    """

    image_id: str
    fine_category: str
    colour: str
    pattern: str
    shape: str
    state: int
    variation: int
    flaw: str = ""


def read_specs(folder: Path) -> list[ImageSpec]:
    """Return the specifications of the shop's images.

    Raises:
        SourceError: The folder has no sample shop.
    """
    path = folder / GROUND_TRUTH_FOLDER / IMAGE_LIST
    if not path.is_file():
        raise SourceError(f"{path}: no list of images; write the sample shop into {folder} first")
    return [ImageSpec(**row) for row in pq.read_table(path, schema=SPECS).to_pylist()]
