"""Bring a picture to the size that an encoder takes, without cutting anything off."""

from __future__ import annotations

from PIL import Image

# What fills the rest where a picture has another shape than the encoder's input: the ground of product pictures.
PADDING = "white"


def fit(picture: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
    """Return an RGB picture scaled until it just fits into `size` (width, height), in the middle of white.

    resample: one of Pillow's filters.
    """
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    if picture.size == size:
        return picture
    scale = min(size[0] / picture.width, size[1] / picture.height)
    inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resized = picture.resize(inner, Image.Resampling(resample))
    if inner == size:
        return resized
    canvas = Image.new("RGB", size, PADDING)
    canvas.paste(resized, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
