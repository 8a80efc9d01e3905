"""Read format, size and number of frames from an image's bytes without a decoder.

Some decoders allocate the size that a header of 30 bytes claims, so they run last and on checked headers only.
"""

from __future__ import annotations

import re
import struct
from typing import Any

# The signature of each supported format; a WebP file has its length between the two words.
_SIGNATURES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM")),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
)
FORMATS = tuple(name for name, _ in _SIGNATURES)

# Known but unsupported formats. The message names them, so that a person knows what to do.
_UNSUPPORTED: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("an AVIF image", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("a HEIF image", re.compile(rb".{4}ftyp(?:hei|hev|mif1|msf1)", re.DOTALL)),
    ("a JPEG 2000 image", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("a JPEG XL image", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("an icon", re.compile(rb"\0\0[\x01\x02]\0")),
    ("a Photoshop file", re.compile(rb"8BPS")),
    ("a PDF document", re.compile(rb"%PDF")),
    ("a video", re.compile(rb".{4}ftyp|\x1a\x45\xdf\xa3", re.DOTALL)),
    ("a gzip archive", re.compile(rb"\x1f\x8b")),
    ("a zip archive", re.compile(rb"PK\x03\x04")),
    ("a JSON text", re.compile(rb"[\[{]\s*[\"\[{]")),
)
_MARKUP_BYTES = 4096
_MARKUP = re.compile(rb"<(svg|html|!doctype\s+html|head|body)[\s>:]", re.IGNORECASE)

# Frames are counted to this number.
FRAMES_COUNTED = 1000
# Scans of a JPEG. The decoder passes over the whole image for each; real files have about 10.
MAX_SCANS = 500


def signature_of(content: bytes) -> str | None:
    """Return the supported format whose signature the content starts with, None where there is none."""
    return next((name for name, signature in _SIGNATURES if signature.match(content)), None)


def unsupported_format(content: bytes) -> tuple[str, str]:
    """Return (reason, detail) for content without the signature of a supported format."""
    begin = content[:_MARKUP_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n\0")
    markup = _MARKUP.search(begin) if begin.startswith(b"<") else None
    if markup is not None and markup[1].lower() == b"svg":
        return "svg", "an SVG drawing; only images made of pixels are supported"
    if markup is not None:
        return "not_an_image", f"an HTML page that starts with {begin[:40]!r}"
    for name, signature in _UNSUPPORTED:
        if signature.match(content):
            return "not_an_image", f"{name}; supported formats are {', '.join(FORMATS)}"
    return "not_an_image", f"starts with {content[:12]!r}"


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return the (width, height) in pixels that a WebP file claims, None where its first chunk holds none.

    Pillow makes the decoder allocate the canvas before its size can be checked.
    """
    chunk, data = content[12:16], content[20:30]
    if chunk == b"VP8X" and len(data) == 10:
        return (
            int.from_bytes(data[4:7], "little") + 1,
            int.from_bytes(data[7:10], "little") + 1,
        )
    if chunk == b"VP8 " and len(data) == 10 and data[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def jpeg_scans(content: bytes) -> int:
    """Return an upper bound of the number of a JPEG's scans.

    Within a scan's data FF is always followed by 0, so only markers and metadata are counted.
    """
    return content.count(b"\xff\xda")


def tiff_tile_pixels(tags: Any) -> int:
    """Return the number of pixels of one tile of a TIFF, which the decoder allocates; 0 where it has no tiles.

    Args:
        tags: Pillow's `tag_v2` of the opened image.
    """
    width, height = tags.get(322), tags.get(323)
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def count_frames(content: bytes, image: Any) -> int:
    """Count the frames of an image, at most FRAMES_COUNTED, without decoding one.

    GIF and TIFF are counted here, since Pillow would walk through all of a file made of a million frames.

    Args:
        content: The bytes of the file.
        image: The image as Pillow opened it.

    Returns:
        The number of frames, from 1 to FRAMES_COUNTED.
    """
    if image.format == "GIF":
        return _gif_frames(content)
    if image.format == "TIFF":
        return _tiff_frames(content)
    return max(1, min(int(getattr(image, "n_frames", 1)), FRAMES_COUNTED))


def _gif_frames(content: bytes) -> int:
    """Count the image descriptors of a GIF to its end or to the first invalid block."""
    frames = 0
    try:
        offset = 13 + _colour_table(content[10])
        while frames < FRAMES_COUNTED:
            block = content[offset]
            # An image: descriptor, colour table, code size, data.
            if block == 0x2C:
                frames += 1
                offset = _after_sub_blocks(content, offset + 11 + _colour_table(content[offset + 9]))
            # An extension.
            elif block == 0x21:
                offset = _after_sub_blocks(content, offset + 2)
            else:
                break
    except IndexError:
        pass
    return max(1, frames)


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(content: bytes, offset: int) -> int:
    while length := content[offset]:
        offset += length + 1
    return offset + 1


def _tiff_frames(content: bytes) -> int:
    """Follow the chain of a TIFF's directories, each a list of entries that ends with the next one's offset."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    count, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
        while offset and offset not in seen and len(seen) < FRAMES_COUNTED:
            (entries,) = struct.unpack_from(order + count, content, offset)
            after = offset + struct.calcsize(order + count) + entries * entry
            seen.add(offset)
            (offset,) = struct.unpack_from(order + pointer, content, after)
    except (struct.error, OverflowError):
        pass
    return max(1, len(seen))
