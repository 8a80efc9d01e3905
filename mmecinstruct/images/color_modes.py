"""Pillow's modes to RGB: first to one that can be resized without harm, after resizing to RGB over white."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_KEPT = ("L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")  # resized as they are, and only then converted


def resizable(image: Image.Image) -> Image.Image:
    """Return a loaded image in a mode of 8 bits a channel that can be resized: L, RGB, RGBa, CMYK, YCbCr, LAB or HSV.

    Transparency is multiplied into the colours (RGBa), so that what is invisible does not bleed into its neighbours.
    Deep grey keeps its upper 8 bits: 16-bit images span 0 to 65535; of 32-bit ones, whole or fractional, the range is
    the smallest of 0 to 1 (fractional only), 255, 65535 and 2**32 - 1 that holds their maximum.
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
    """Return an image of one of the modes that `resizable` gives in RGB, what shows through it white."""
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
