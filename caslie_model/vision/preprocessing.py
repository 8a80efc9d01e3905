"""Scale an image to an encoder's input size, without cropping."""

from __future__ import annotations

from PIL import Image

# Fills the rest where an image has another shape than the encoder's input: the background of product images.
PADDING = "white"


def fit(image: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
    """Return an image scaled until it just fits into a size, centred on white.

    Args:
        image: Any image.
        size: Width and height in pixels.
        resample: One of Pillow's filters.

    Returns:
        An RGB image of that size.
    """
    image = image if image.mode == "RGB" else image.convert("RGB")
    if image.size == size:
        return image
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.resize(inner, Image.Resampling(resample))
    if inner == size:
        return resized
    canvas = Image.new("RGB", size, PADDING)
    canvas.paste(resized, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
