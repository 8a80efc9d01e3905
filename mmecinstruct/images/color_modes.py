"""Convert Pillow's modes to RGB.

An image is first converted to a mode that can be resized without artefacts. After resizing it becomes RGB over white.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# Modes that are resized as they are and converted afterwards.
_KEPT = ("L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


def resizable(image: Image.Image) -> Image.Image:
    """Convert a loaded image to a mode of 8 bits a channel that can be resized.

    Transparency is multiplied into the colours (RGBa), so that invisible pixels do not bleed into their neighbours.
    Deep grey keeps its upper 8 bits. 16-bit images span 0 to 65535. The range of 32-bit images, integer or float, is
    the smallest of 0 to 1 (float only), 255, 65535 and 2**32 - 1 that holds their maximum.

    Args:
        image: An image of any mode, its pixels loaded.

    Returns:
        The image in one of the modes L, RGB, RGBa, CMYK, YCbCr, LAB and HSV.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_deep_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        return (image if image.mode == "RGBA" else image.convert("RGBA")).convert("RGBa")
    if image.mode in _KEPT:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _deep_to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    whole = values.dtype.kind != "f"
    finite = values if whole else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(finite.max(initial=0))
    ranges = (255, 65_535, 2**32 - 1) if whole else (1, 255, 65_535, 2**32 - 1)
    top = next((top for top in ranges if largest <= top), largest)
    return (finite.clip(0, None).astype(np.float32) * np.float32(255 / top)).clip(0, 255).astype(np.uint8)


def rgb_over_white(image: Image.Image) -> Image.Image:
    """Convert an image to RGB and put it over a white background.

    Args:
        image: An image in one of the modes that `resizable` returns.

    Returns:
        The image in mode RGB. Transparent pixels are white.
    """
    if image.mode == "RGBa":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_rgb())  # type: ignore[return-value]
    return image if image.mode == "RGB" else image.convert("RGB")


@cache
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
