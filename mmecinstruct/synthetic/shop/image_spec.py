"""Specifications of the sample shop's rendered images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import SourceError

LATENTS = "latents"  # folder of what the raw files do not tell


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
    """What an image shows.

    state: 0 in the catalogue, in a review 5 (as new) to 1 (in pieces). variation: feeds the small
    differences. flaw: empty, truncated, tiny, placeholder or repacked (the same image, compressed more).
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
    """Return the images of the shop drawn into `folder`.

    Raises SourceError where there is no such shop.
    """
    path = folder / LATENTS / IMAGE_LIST
    if not path.is_file():
        raise SourceError(f"{path}: no list of images; draw the sample shop into {folder} first")
    return [ImageSpec(**row) for row in pq.read_table(path, schema=SPECS).to_pylist()]
