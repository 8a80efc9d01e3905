"""Images within a page: small JPEG files as data URIs, bounded in number and bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_QUALITY = 80


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image as a page holds it.

    Attributes:
        uri: Its data URI.
        width: In pixels.
        height: In pixels.
    """

    uri: str
    width: int
    height: int


@dataclass
class ImageBudget:
    """Makes the images of a page until one bound is reached; counts those that found no room.

    Attributes:
        side: Longest side of an image in pixels; larger ones are reduced.
        images: At most so many.
        bytes: At most so many characters of data URIs.
        left_out: How many were left out.
    """

    side: int = 200
    images: int = 400
    bytes: int = 8_000_000
    left_out: int = field(default=0, init=False)

    def add(self, image: Image.Image) -> PageImage | None:
        """Return an image for the page; None where the page has no room for it.

        Args:
            image: In RGB.
        """
        if self.images > 0:
            made = page_image(image, self.side)
            if len(made.uri) <= self.bytes:
                self.images -= 1
                self.bytes -= len(made.uri)
                return made
        self.left_out += 1
        return None


def page_image(image: Image.Image, side: int) -> PageImage:
    """Return an image as a JPEG in a data URI.

    Args:
        image: In RGB.
        side: Longest side in pixels; a larger image is reduced.
    """
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    stream = io.BytesIO()
    (image if scale == 1 else image.resize(size)).save(stream, "JPEG", quality=_QUALITY, optimize=True)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return PageImage(f"data:image/jpeg;base64,{encoded}", *size)
