"""Render and encode images for tests."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image


class Images:
    """Render images with soft shapes, like photographs, and encode them."""

    def photo(self, width: int = 200, height: int = 160, mode: str = "RGB", number: int = 0) -> Image.Image:
        """Return an image that is determined by its number."""
        values = np.random.default_rng(number).integers(0, 255, (10, 12, 3), dtype=np.uint8)
        rendered = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
        return rendered.convert(mode)

    def encoded(self, image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        """Return the bytes of an image file."""
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    def decoded(self, content: bytes | None) -> Image.Image:
        """Return the image of a file, its pixels loaded."""
        assert content is not None
        image = Image.open(io.BytesIO(content))
        image.load()
        return image

    def png_bomb(self, width: int, height: int) -> bytes:
        """Return a PNG that is a few bytes long and claims a size."""

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = zlib.compress(b"\0" * 1000)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="session")
def images() -> Images:
    """Return the renderer."""
    return Images()
