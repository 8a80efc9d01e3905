"""Validate and normalise one picture: header first, pixels only when the header is acceptable.

The result is an RGB JPEG without metadata, whose longest side is the recipe's; measurements are taken
on the way and stored, so that thresholds can be judged afterwards.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmecinstruct.recipe import ImageSettings

# Formats by content, not by file ending. SVG is no picture format of Pillow and is refused with the unknown.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
PHASH_VERSION = "imagehash-phash-8x8/1"
MEASURED_SIDE = 64

# What decoders are known to raise over damaged bytes: Pillow names no list.
DECODER_ERRORS = (
    *(OSError, EOFError, ValueError, SyntaxError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError, struct.error, zlib.error),
)


@dataclass(frozen=True, slots=True)
class ValidatedPicture:
    """Outcome of one picture; `jpeg` is None when it is rejected."""

    image_id: str  # SHA-256 of the received bytes
    jpeg: bytes | None
    reason: str = ""
    detail: str = ""
    width: int | None = None  # as received, before EXIF rotation
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    phash: str | None = None
    pixel_deviation: float | None = None


def validate_picture(content: bytes, settings: ImageSettings) -> ValidatedPicture:
    """Decode, judge and normalise the received bytes of one picture. Never raises for a bad picture."""
    image_id = hashlib.sha256(content).hexdigest()
    if not content:
        return ValidatedPicture(image_id, None, "empty_file", "0 bytes")
    if len(content) > settings.max_bytes:
        return ValidatedPicture(
            image_id, None, "too_many_bytes", f"{len(content)} bytes, at most {settings.max_bytes}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own bomb warning: the cap below is ours
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except UnidentifiedImageError:
            return ValidatedPicture(image_id, None, "not_a_picture", f"begins with {content[:12]!r}")
        except Image.DecompressionBombError as error:
            return ValidatedPicture(image_id, None, "too_many_pixels", str(error))
        except DECODER_ERRORS as error:
            return ValidatedPicture(image_id, None, "broken_header", _told(error))
        with image:
            width, height, kind, mode = image.width, image.height, image.format, image.mode

            def rejected(reason: str, detail: str) -> ValidatedPicture:
                return ValidatedPicture(image_id, None, reason, detail, width, height, kind, mode)

            if width * height > settings.max_pixels:
                return rejected("too_many_pixels", f"{width}x{height}, at most {settings.max_pixels} pixels")
            if min(width, height) < settings.min_side:
                return rejected("too_small", f"{width}x{height}, each side at least {settings.min_side}")
            if max(width, height) > settings.max_aspect * min(width, height):
                return rejected("extreme_aspect", f"{width}x{height}, at most {settings.max_aspect} to 1")
            try:
                # The further pictures of a phone's MPO file are previews and depth, no animation.
                if kind != "MPO" and getattr(image, "is_animated", False):
                    return rejected("animated", "more than one frame")
                image.load()
                upright = ImageOps.exif_transpose(image)
                rgb = to_rgb(upright)
            except DECODER_ERRORS as error:
                return rejected("truncated_or_corrupt", _told(error))
    small = rgb.convert("L").resize((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BOX)
    deviation = float(np.asarray(small, dtype=np.float32).std())
    if deviation < settings.min_deviation:
        return ValidatedPicture(
            image_id,
            None,
            "blank",
            f"deviation {deviation:.2f}, at least {settings.min_deviation}",
            width,
            height,
            kind,
            mode,
            None,
            deviation,
        )
    from imagehash import phash

    if max(rgb.size) > settings.longest_side:
        rgb.thumbnail((settings.longest_side, settings.longest_side), Image.Resampling.LANCZOS)
    rgb.info.clear()  # else a JPEG's comment goes along
    stream = io.BytesIO()
    rgb.save(stream, "JPEG", quality=settings.jpeg_quality)
    return ValidatedPicture(
        image_id, stream.getvalue(), "", "", width, height, kind, mode, str(phash(rgb)), deviation
    )


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB: transparency over white, 16-bit grey scaled to 8 bits."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image, dtype=np.float32) / 257.0
        return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        alpha = image.convert("RGBA")
        white = Image.new("RGBA", alpha.size, "white")
        return Image.alpha_composite(white, alpha).convert("RGB")
    return image.convert("RGB")
