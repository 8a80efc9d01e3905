"""Pictures of the sample shop: what is to be drawn, and drawing it.

A picture depends on its specification and its size alone, so any worker may draw it. A catalogue picture
shows the product on a light ground; a review's picture shows it on somebody's table, in the state that the
rating speaks of. Position, size, tilt and ground vary a little.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.errors import SourceError

LATENTS = "latents"  # folder of what the raw files do not tell
PICTURE_LIST = "pictures.parquet"
SPECS = pa.schema(
    [
        ("picture_id", pa.string()),
        ("fine_category", pa.string()),
        ("colour", pa.string()),
        ("pattern", pa.string()),
        ("shape", pa.string()),
        ("state", pa.int8()),
        ("variation", pa.int64()),
        ("flaw", pa.string()),
    ]
)
JPEG_QUALITY = 80
REPACKED_QUALITY = 60
TINY_SIDE = 16


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """What a picture shows.

    state: 0 in the catalogue, in a review 5 (as new) to 1 (in pieces). variation: feeds the small
    differences. flaw: empty, truncated, tiny, placeholder or repacked (the same picture, compressed more).
    """

    picture_id: str
    fine_category: str
    colour: str
    pattern: str
    shape: str
    state: int
    variation: int
    flaw: str = ""


def read_specs(folder: Path) -> list[PictureSpec]:
    """Return the pictures of the shop drawn into `folder`.

    Raises SourceError where there is no such shop.
    """
    path = folder / LATENTS / PICTURE_LIST
    if not path.is_file():
        raise SourceError(f"{path}: no list of pictures; draw the sample shop into {folder} first")
    return [PictureSpec(**row) for row in pq.read_table(path, schema=SPECS).to_pylist()]


def draw_picture(spec: PictureSpec, side: int) -> bytes:
    """Return a picture as the bytes of a JPEG file of `side` by `side` pixels."""
    from mmecinstruct.sample_shop.drawing_scene import draw_placeholder, draw_scene

    if spec.flaw == "placeholder":
        image = draw_placeholder(side)
    elif spec.flaw == "tiny":
        image = draw_scene(spec, side).resize((TINY_SIDE, TINY_SIDE))
    else:
        image = draw_scene(spec, side)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=REPACKED_QUALITY if spec.flaw == "repacked" else JPEG_QUALITY)
    content = stream.getvalue()
    return content[: len(content) // 2] if spec.flaw == "truncated" else content
