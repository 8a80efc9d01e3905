"""What the first bytes of an image tell before any decoder is asked: format, size, number of frames.

Decoders are asked late and for little, since some allocate what a header of 30 bytes claims.
"""

from __future__ import annotations

import re
import struct
from typing import Any

# What each format that is read begins with; a WebP file has its length between the two words.
_SIGNATURES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM")),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
)
FORMATS = tuple(name for name, _ in _SIGNATURES)

# Images and pages that are known and not read: said by name, since a person then knows what to do.
_UNREAD: tuple[tuple[str, re.Pattern[bytes]], ...] = (
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
_LOOKED_AT = 4096
_MARKUP = re.compile(rb"<(svg|html|!doctype\s+html|head|body)[\s>:]", re.IGNORECASE)

FRAMES_COUNTED = 1000  # counting ends here
MAX_SCANS = 500  # of a JPEG: each makes the decoder go over the whole image again; real ones have about 10


def signature_of(content: bytes) -> str | None:
    """Return the format whose signature the content begins with, None where it is no format that is read."""
    return next((name for name, signature in _SIGNATURES if signature.match(content)), None)


def name_the_unread(content: bytes) -> tuple[str, str]:
    """Return (reason, detail) for content that has the signature of no format that is read."""
    begin = content[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n\0")
    markup = _MARKUP.search(begin) if begin.startswith(b"<") else None
    if markup is not None and markup[1].lower() == b"svg":
        return "svg", "an SVG drawing; drawings are refused, give an image made of pixels"
    if markup is not None:
        return "not_an_image", f"an HTML page, which begins with {begin[:40]!r}"
    for name, signature in _UNREAD:
        if signature.match(content):
            return "not_an_image", f"{name}; read are {', '.join(FORMATS)}"
    return "not_an_image", f"begins with {content[:12]!r}"


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) that a WebP file claims, None where its first chunk tells none.

    Pillow has the decoder allocate the canvas before anybody can look at its size.
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
    """Return an upper bound of a JPEG's scans: within a scan's data FF is always followed by 0."""
    return content.count(b"\xff\xda")


def tiff_tile_pixels(tags: Any) -> int:
    """Return the pixels of one tile of a TIFF (Pillow's `tag_v2`), 0 where it has none; the decoder allocates it."""
    width, height = tags.get(322), tags.get(323)
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def count_frames(content: bytes, image: Any) -> int:
    """Return an image's number of frames, counted to FRAMES_COUNTED, without decoding one.

    image: the image as Pillow opened it. For GIF and TIFF, Pillow would walk through all of a file made of a million
    frames.
    """
    if image.format == "GIF":
        return _gif_frames(content)
    if image.format == "TIFF":
        return _tiff_frames(content)
    return max(1, min(int(getattr(image, "n_frames", 1)), FRAMES_COUNTED))


def _gif_frames(content: bytes) -> int:
    """Count the image descriptors of a GIF until its end, or until it makes no sense any more."""
    frames = 0
    try:
        place = 13 + _colour_table(content[10])
        while frames < FRAMES_COUNTED:
            block = content[place]
            if block == 0x2C:  # an image: descriptor, colour table, code size, data
                frames += 1
                place = _after_sub_blocks(content, place + 11 + _colour_table(content[place + 9]))
            elif block == 0x21:  # an extension
                place = _after_sub_blocks(content, place + 2)
            else:
                break
    except IndexError:
        pass
    return max(1, frames)


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(content: bytes, place: int) -> int:
    while length := content[place]:
        place += length + 1
    return place + 1


def _tiff_frames(content: bytes) -> int:
    """Follow the chain of a TIFF's directories, each a list of entries that ends with the next one's place."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    count, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
        while place and place not in seen and len(seen) < FRAMES_COUNTED:
            (entries,) = struct.unpack_from(order + count, content, place)
            after = place + struct.calcsize(order + count) + entries * entry
            seen.add(place)
            (place,) = struct.unpack_from(order + pointer, content, after)
    except (struct.error, OverflowError):
        pass
    return max(1, len(seen))
