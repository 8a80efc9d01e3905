"""Small tables of products and of rendered and measured images."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.perceptual_hash import PHASH_VERSION
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, IMAGES

COLOURS = {"red": (200, 30, 30), "blue": (30, 40, 200), "green": (20, 140, 50)}


class Maker:
    """Makes rows of the tables."""

    def drawing(self, seed: int, colour: str = "red", side: int = 240) -> Image.Image:
        """Render a few shapes on white; a seed gives the same shapes in every colour."""
        rng = random.Random(seed)
        image = Image.new("RGB", (side, side), "white")
        pen = ImageDraw.Draw(image)
        for number in range(7):
            x, y = (rng.randint(0, side - 60) for _ in range(2))
            w, h = (rng.randint(25, 110) for _ in range(2))
            shade = rng.randint(0, 90)
            fill = COLOURS[colour] if number % 2 else (shade, shade, shade)
            (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=fill)
        return image

    def encoded(self, image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
        """Return the bytes of an image file."""
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    def images(self, contents: dict[str, bytes], **changes: dict[str, Any]) -> pa.Table:
        """Return IMAGES of measured images by URL; `changes` override columns of a URL's row."""
        rows = []
        for url, content in contents.items():
            measured = measure_image(content, ImageSettings())
            row = {name: getattr(measured, name, None) for name in IMAGES.names}
            row |= {"image_url": url, "status": "ok", "reason": None, "phash_version": PHASH_VERSION}
            rows.append(row | changes.get(url, {}))
        return pa.Table.from_pylist(rows, schema=IMAGES)

    def products(self, *rows: dict[str, Any]) -> pa.Table:
        """Return CURATED_PRODUCTS; columns that a row does not give are empty."""
        empty = dict.fromkeys(CURATED_PRODUCTS.names) | {
            "category_path": [],
            "features": [],
            "image_urls": [],
        }
        return pa.Table.from_pylist(
            [
                empty | {"cluster_id": row["product_id"], "split_unit": row["product_id"]} | row
                for row in rows
            ],
            schema=CURATED_PRODUCTS,
        )


@pytest.fixture
def make() -> Maker:
    """Return the maker of tables."""
    return Maker()
