"""Rendered images, and datasets that show them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caslie_model.vision import VisionEncoder, load_vision_encoder


def draw_image(number: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return an image of coarse random squares; every number gives another one."""
    squares = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(squares).resize(size, Image.Resampling.NEAREST)


def pack_image(number: int) -> bytes:
    stream = io.BytesIO()
    draw_image(number).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.fixture(scope="session")
def render() -> Callable[..., Image.Image]:
    return draw_image


@pytest.fixture(scope="session")
def pack() -> Callable[[int], bytes]:
    return pack_image


@pytest.fixture(scope="session")
def tiny() -> VisionEncoder:
    return load_vision_encoder("random:tiny-vit")


@pytest.fixture
def dataset_of_images(
    row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path]
) -> Callable[..., str]:
    """Write a dataset whose n-th sample shows the images of the given contents, in roles `product 1`, …"""

    def write(folder: Path, samples: list[list[bytes]], split: str = "train") -> str:
        rows = [
            row(
                number,
                "product_relation_prediction",
                split,
                images=[{"bytes": content, "path": f"{number}.jpg"} for number, content in enumerate(images)],
                image_roles=[f"product {number + 1}" for number in range(len(images))],
            )
            for number, images in enumerate(samples)
        ]
        return str(write_rows(folder, rows))

    return write
