"""Datasets to caption, and what was captioned."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from caslie_model.config.captions import CaptionConfig
from caslie_model.config.presets import caption_config
from mmecinstruct.schemas.captions import captions_path


def field(colour: tuple[int, int, int], mark: int = 0) -> bytes:
    """Return a PNG of one colour; the mark makes images of one colour differ by a pixel."""
    image = Image.new("RGB", (40, 40), colour)
    image.putpixel((mark % 40, mark // 40), (0, 0, 0))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def thing(
    colour: tuple[int, int, int], pattern: str = "plain", size: tuple[int, int] = (60, 60)
) -> Image.Image:
    """Return a thing of a colour, with white stripes or spots, before a background of very light grey."""
    image = Image.new("RGB", (128, 128), (244, 244, 246))
    draw = ImageDraw.Draw(image)
    left, top = (128 - size[0]) // 2, (128 - size[1]) // 2
    box = (left, top, left + size[0] - 1, top + size[1] - 1)
    draw.rectangle(box, fill=colour)
    for x in range(left + 6, box[2] - 8, 12):
        if pattern == "striped":
            draw.rectangle((x, top, x + 5, box[3]), fill="white")
        elif pattern == "spotted":
            for y in range(top + 6, box[3] - 8, 12):
                draw.ellipse((x, y, x + 6, y + 6), fill="white")
    return image


def rows_of(root: Path, name: str, task: str, split: str) -> list[dict[str, Any]]:
    return pq.read_table(root / captions_path(name, task, split)).to_pylist()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., CaptionConfig]:
    def make(**fields: Any) -> CaptionConfig:
        return caption_config(**{"captioner": "attributes", "data": str(tmp_path / "data"), **fields})

    return make
