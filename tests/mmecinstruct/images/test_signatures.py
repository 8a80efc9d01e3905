"""What is told before a decoder is asked: formats by name, sizes, frames, scans."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from mmecinstruct.images.signatures import (
    FRAMES_COUNTED,
    count_frames,
    jpeg_scans,
    name_the_unread,
    signature_of,
    webp_size,
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_each_format_is_known_by_its_first_bytes(kind: str, images) -> None:
    assert signature_of(images.encoded(images.photo(), kind)) == kind


@pytest.mark.parametrize(
    ("content", "reason", "named"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg", "SVG"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- by hand --><svg width='1'>", "svg", "SVG"),
        (b"<!DOCTYPE html><html><body><svg></svg>", "not_an_image", "HTML"),
        (b"\n<HTML><head>", "not_an_image", "HTML"),
        (b"\0\0\0 ftypavif", "not_an_image", "AVIF"),
        (b"\0\0\0 ftypheic", "not_an_image", "HEIF"),
        (b"%PDF-1.7", "not_an_image", "PDF"),
        (b'{"error": 404}', "not_an_image", "JSON"),
        (b"plain words", "not_an_image", "plain words"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(content: bytes, reason: str, named: str) -> None:
    assert signature_of(content) is None
    found, detail = name_the_unread(content)
    assert (found, named in detail) == (reason, True)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_a_webp_tells_its_size_itself(options: dict[str, object], images) -> None:
    assert webp_size(images.encoded(images.photo(123, 45), "WEBP", **options)) == (123, 45)
    assert webp_size(b"RIFF\0\0\0\0WEBPVP8X") is None


def frames_of(content: bytes, images) -> int:
    return count_frames(content, Image.open(__import__("io").BytesIO(content)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frames_are_counted(kind: str, frames: int, images) -> None:
    first, *others = (images.photo(60, 50, number=number) for number in range(frames))
    options = {"save_all": True, "append_images": others} if others else {}
    assert frames_of(images.encoded(first, kind, **options), images) == frames


def test_counting_frames_ends_where_a_file_of_a_million_would_not(images) -> None:
    sound = images.encoded(images.photo(8, 8), "GIF")
    body = sound.index(b",", 13 + (3 << ((sound[10] & 7) + 1)))
    frame = sound[body:-1]
    assert frames_of(sound[:-1] + frame * 50_000 + b";", images) == FRAMES_COUNTED


def test_a_tiff_whose_directories_form_a_ring_is_counted_once(images) -> None:
    content = bytearray(images.encoded(images.photo(8, 8), "TIFF"))
    (place,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, place)
    struct.pack_into("<I", content, place + 2 + 12 * entries, place)
    assert frames_of(bytes(content), images) == 1


def test_scans_of_a_progressive_jpeg_are_counted(images) -> None:
    assert jpeg_scans(images.encoded(images.photo())) == 1
    assert 5 < jpeg_scans(images.encoded(images.photo(), progressive=True)) < 20
