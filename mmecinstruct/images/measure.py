"""Measure and normalise one image: header first, pixels only when the header is acceptable.

Only content that cannot be measured is rejected here: bytes that are no image, that claim more pixels than is safe, or
that are truncated. `filter` applies the recipe's thresholds (too small, blank, animated) afterwards without decoding.

The normalised image is RGB without metadata, upright, transparency over white, its longest side at most the
recipe's. An embedded colour profile is dropped, not applied: that is what `datasets` and most loaders do.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mmecinstruct.images.color_modes import resizable, rgb_over_white
from mmecinstruct.images.perceptual_hash import (
    Reduced,
    difference_hash,
    format_hash,
    grey_of,
    hashes_and_structures,
    reduced,
)
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.signatures import (
    FORMATS,
    MAX_SCANS,
    count_frames,
    jpeg_scans,
    signature_of,
    tiff_tile_pixels,
    unsupported_format,
    webp_size,
)

THUMBNAIL_SIDE = 8
# Pixels per side of a sketch; 3 bytes each.
SKETCH_SIDE = 32
_MEASURED_SIDE = 64
_SHORTEST_REDUCED = 64
_ORIENTATION = 0x0112  # the EXIF tag
# The transposition that makes an image of each orientation upright; 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Exceptions that decoders are known to raise for damaged bytes; Pillow documents no list.
DECODER_ERRORS = (
    *(OSError, EOFError, ValueError, SyntaxError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError, struct.error, zlib.error),
)


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """The measurements of one image; `jpeg` and the fields after it are None for a rejected image.

    Attributes:
        image_id: SHA-256 of the received bytes.
        reason: Machine-readable reason of a rejection, else empty.
        detail: The reason for a person.
        width: Pixels as received, before EXIF rotation.
        height: Pixels as received, before EXIF rotation.
        format: The format by content, one of `signatures.FORMATS`.
        mode: Pillow's mode of the received image.
        frames: Number of frames, counted to `signatures.FRAMES_COUNTED`.
        jpeg: The normalised image.
        pixel_id: SHA-256 of the normalised image's size and pixels.
        phash: Perceptual hash, 16 hexadecimal digits.
        dhash: Difference hash, 16 hexadecimal digits.
        structure: How much there is to hash, in grey levels; see `perceptual_hash`.
        pixel_deviation: Standard deviation of the grey image, 0 to 127.5.
        thumbnail: 8x8 RGB, row by row, 192 bytes.
        mirrored_phash: Perceptual hash of the mirrored image, 16 hexadecimal digits.
        sketch: 32x32 RGB, row by row, 3,072 bytes.
    """

    image_id: str
    reason: str = ""
    detail: str = ""
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    frames: int | None = None
    jpeg: bytes | None = None
    pixel_id: str | None = None
    phash: str | None = None
    dhash: str | None = None
    structure: float | None = None
    pixel_deviation: float | None = None
    thumbnail: bytes | None = None
    mirrored_phash: str | None = None
    sketch: bytes | None = None


def measure_image(content: bytes, settings: ImageSettings) -> MeasuredImage:
    """Decode, normalise and measure the received bytes of one image.

    A bad image gives a reason and raises nothing. Reasons: empty_file, too_many_bytes, svg, not_an_image,
    broken_header, too_many_pixels, too_many_scans, truncated_or_corrupt.

    Args:
        content: The received bytes.
        settings: max_bytes, max_pixels, longest_side and jpeg_quality are read.

    Returns:
        The measurements, or the reason of the rejection with as much of the header as was read.
    """
    image_id = hashlib.sha256(content).hexdigest()

    def rejected(reason: str, detail: str, **header: Any) -> MeasuredImage:
        return MeasuredImage(image_id, reason, detail, **header)

    if not content:
        return rejected("empty_file", "0 bytes")
    if len(content) > settings.max_bytes:
        return rejected("too_many_bytes", f"{len(content)} bytes, at most {settings.max_bytes}")
    signature = signature_of(content)
    if signature is None:
        return rejected(*unsupported_format(content))
    claimed = webp_size(content) if signature == "WEBP" else None
    if claimed is not None and claimed[0] * claimed[1] > settings.max_pixels:
        return rejected("too_many_pixels", _pixels(*claimed, settings), format=signature)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        return rejected("broken_header", f"{signature}, but its header cannot be read", format=signature)
    except Image.DecompressionBombError:
        return rejected("too_many_pixels", _too_many(settings), format=signature)
    except DECODER_ERRORS as error:
        # Pillow reads a WebP file to its end before it reports the format.
        reason = "broken_header" if claimed is None else "truncated_or_corrupt"
        return rejected(reason, _message(error), format=signature)
    with image:
        header: dict[str, Any] = {
            "width": image.width,
            "height": image.height,
            "format": image.format,
            "mode": image.mode,
        }
        if image.width * image.height > settings.max_pixels:
            return rejected("too_many_pixels", _pixels(image.width, image.height, settings), **header)
        tile = tiff_tile_pixels(image.tag_v2) if image.format == "TIFF" else 0  # type: ignore[attr-defined]
        if tile > settings.max_pixels:
            detail = f"a tile of {tile} pixels, at most {settings.max_pixels}"
            return rejected("too_many_pixels", detail, **header)
        if signature == "JPEG" and (scans := jpeg_scans(content)) > MAX_SCANS:
            return rejected("too_many_scans", f"{scans} scans, at most {MAX_SCANS}", **header)
        try:
            header["frames"] = count_frames(content, image)
            normalised, pixels = _normalise(content, image, settings.longest_side)
        except Image.DecompressionBombError:
            return rejected("too_many_pixels", _too_many(settings), **header)
        except DECODER_ERRORS as error:
            return rejected("truncated_or_corrupt", _message(error), **header)
    return MeasuredImage(image_id, **header, **_measurements(normalised, pixels, settings.jpeg_quality))


def _pixels(width: int, height: int, settings: ImageSettings) -> str:
    return f"{width}x{height}, at most {settings.max_pixels} pixels"


def _too_many(settings: ImageSettings) -> str:
    return f"its header claims more than Pillow opens, at most {settings.max_pixels} pixels"


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__


def _normalise(
    content: bytes, image: Image.Image, longest_side: int
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Decode an image, a JPEG at reduced size; return its normal form and the pixels of that."""
    decoded = pixels = None
    full_size = image.size
    is_jpeg = image.format in ("JPEG", "MPO")
    if is_jpeg:
        eighths = _eighths(image.size, longest_side)
        if image.mode in ("RGB", "L"):
            pixels = _decode_jpeg(content, image.size, image.mode, eighths)
        if pixels is not None:
            decoded = Image.fromarray(pixels)
        else:
            # Pillow cannot decode at three eighths; it then takes four.
            image.draft(image.mode, (max(1, image.width * eighths // 8), max(1, image.height * eighths // 8)))
    if decoded is None:
        image.load()
        decoded = resizable(image)
    # After loading: Pillow rotates a TIFF itself and then drops its orientation.
    orientation = _orientation(image)
    size = _fitted(*(full_size if is_jpeg else decoded.size), longest_side)
    if decoded.size != size:
        decoded = decoded.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
        pixels = None
    rgb = rgb_over_white(decoded)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
        pixels = None
    # Pixels that were not changed after decoding need not be copied out of Pillow.
    return rgb, np.asarray(rgb) if pixels is None or pixels.ndim != 3 else pixels


def _eighths(size: tuple[int, int], longest_side: int) -> int:
    """Return at how many eighths of its size a JPEG is decoded: never below the wanted size.

    From five eighths on, decoding takes longer than at full size. A side that is not divisible loses a little of its
    edge, which would be much of a very short side.
    """
    long, short = max(size), min(size)
    return next(
        (n for n in (1, 2, 3, 4) if -(-long * n // 8) >= longest_side and short * n >= 8 * _SHORTEST_REDUCED),
        8,
    )


def _decode_jpeg(content: bytes, size: tuple[int, int], mode: str, eighths: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a plain JPEG at so many eighths of its size; None where Pillow must decode it.

    simplejpeg is strict. A file that it rejects may still be valid for Pillow, and so for `datasets`.
    """
    width, height = -(-size[0] * eighths // 8), -(-size[1] * eighths // 8)
    try:
        array = simplejpeg.decode_jpeg(
            content, colorspace="RGB" if mode == "RGB" else "GRAY", min_width=width, min_height=height
        )
    except DECODER_ERRORS:
        return None
    if array.shape[:2] != (height, width):
        return None
    return array if mode == "RGB" else array[:, :, 0]


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 for damaged metadata: it is removed anyway and must not reject the image."""
    try:
        value = image.getexif().get(_ORIENTATION)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _fitted(width: int, height: int, longest_side: int) -> tuple[int, int]:
    scale = longest_side / max(width, height)
    if scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def _measurements(image: Image.Image, pixels: NDArray[np.uint8], quality: int) -> dict[str, Any]:
    """Return the fields of MeasuredImage that are taken from the normalised image."""
    small = reduced(image)
    luma = small._replace(image=small.image.convert("L"))
    grey = grey_of(luma)
    hashes, structures = hashes_and_structures(np.stack([grey, grey[:, ::-1]]))
    cells = luma.shrunk((_MEASURED_SIDE, _MEASURED_SIDE), Image.Resampling.BOX)
    return {
        "jpeg": simplejpeg.encode_jpeg(pixels, quality, "RGB", "420", fastdct=False),
        "pixel_id": pixel_id(pixels),
        "phash": format_hash(int(hashes[0])),
        "dhash": format_hash(difference_hash(luma)),
        "structure": float(structures[0]),
        "pixel_deviation": float(np.asarray(cells, dtype=np.float32).std()),
        "thumbnail": thumbnail_of(small),
        "mirrored_phash": format_hash(int(hashes[1])),
        "sketch": small.shrunk((SKETCH_SIDE, SKETCH_SIDE), Image.Resampling.BOX).tobytes(),
    }


def thumbnail_of(image: Image.Image | Reduced) -> bytes:
    """Return the mean colours of the 8x8 cells of an RGB image, row by row, three bytes each: 192 bytes."""
    small = image if isinstance(image, Reduced) else reduced(image)
    return small.shrunk((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes()


def pixel_id(pixels: NDArray[np.uint8]) -> str:
    """Hash the size and the pixels of an RGB image.

    Args:
        pixels: RGB pixels [height, width, 3].

    Returns:
        The SHA-256 of width and height, 4 bytes each (big-endian), then the pixels row by row.
    """
    digest = hashlib.sha256(struct.pack(">II", pixels.shape[1], pixels.shape[0]))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
