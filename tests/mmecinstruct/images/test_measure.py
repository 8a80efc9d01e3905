"""Measuring one picture: what is refused and why, and what the normal form is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmecinstruct.images.measure import MeasuredPicture, measure_picture, pixel_id
from mmecinstruct.images.perceptual_hash import parse_hash
from mmecinstruct.images.settings import ImageSettings

SETTINGS = ImageSettings(longest_side=128)
ORIENTATION = 0x0112
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata


def distance(one: MeasuredPicture, other: MeasuredPicture) -> int:
    assert one.phash is not None
    assert other.phash is not None
    return (parse_hash(one.phash) ^ parse_hash(other.phash)).bit_count()


@pytest.mark.parametrize("kind", KINDS)
def test_formats_are_told_by_content(kind: str, pictures) -> None:
    outcome = measure_picture(pictures.encoded(pictures.photo(), kind), SETTINGS)
    assert (outcome.reason, outcome.format, outcome.frames) == ("", kind, 1)
    assert (outcome.width, outcome.height) == (200, 160)


def test_the_normal_form_is_a_jpeg_in_rgb_and_everything_is_measured(pictures) -> None:
    outcome = measure_picture(pictures.encoded(pictures.photo(), "PNG"), SETTINGS)
    result = pictures.decoded(outcome.jpeg)
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (128, 102))
    assert outcome.phash is not None
    assert len(outcome.phash) == 16
    assert outcome.thumbnail is not None
    thumbnail = np.frombuffer(outcome.thumbnail, np.uint8).reshape(8, 8, 3).astype(float)
    expected = np.asarray(pictures.photo().resize((8, 8), Image.Resampling.BOX), dtype=float)
    assert np.abs(thumbnail - expected).max() <= 8
    grey = np.asarray(pictures.photo(mode="L"), dtype=float)
    assert outcome.pixel_deviation == pytest.approx(grey.std(), rel=0.05)
    assert outcome.structure is not None
    assert outcome.structure > 20


def test_a_small_picture_is_not_enlarged(pictures) -> None:
    for size in ((1, 1), (3, 90), (100, 2)):
        outcome = measure_picture(pictures.encoded(pictures.photo(*size), "PNG"), SETTINGS)
        assert pictures.decoded(outcome.jpeg).size == size


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"<!doctype html><html>404", "not_a_picture"),
        (np.random.default_rng(1).bytes(5000), "not_a_picture"),
        (b"\xff\xd8\xff\xe0 no more", "broken_header"),
        (b"\x89PNG\r\n\x1a\n", "broken_header"),
        (b"GIF89a", "broken_header"),
        (b"BM" + bytes(60), "broken_header"),
        (b"II*\0" + bytes(60), "broken_header"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken_header"),
    ],
)
def test_what_is_no_picture_ends_with_its_reason(content: bytes, reason: str) -> None:
    outcome = measure_picture(content, SETTINGS)
    assert (outcome.reason, outcome.jpeg, bool(outcome.detail)) == (reason, None, True)


def test_content_over_the_byte_cap_is_refused() -> None:
    assert measure_picture(b"x" * 11, ImageSettings(max_bytes=10)).reason == "too_many_bytes"


def test_a_picture_at_the_pixel_cap_is_read_and_one_pixel_more_is_not(pictures) -> None:
    for kind in KINDS:
        content = pictures.encoded(pictures.photo(), kind)
        assert measure_picture(content, ImageSettings(max_pixels=32_000)).reason == ""
        refused = measure_picture(content, ImageSettings(max_pixels=31_999))
        assert (refused.reason, "200x160" in refused.detail) == ("too_many_pixels", True)


def test_a_jpeg_of_many_scans_is_refused_unread(pictures) -> None:
    content = pictures.encoded(pictures.photo(), progressive=True)
    scans = content[content.index(b"\xff\xda") : -2]
    assert measure_picture(content[:-2] + scans * 60 + content[-2:], SETTINGS).reason == "too_many_scans"


def test_an_animation_is_measured_by_its_first_frame(pictures) -> None:
    first, second = pictures.photo(), pictures.photo(number=2)
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = pictures.encoded(first, kind, save_all=True, append_images=[second], **options)
        outcome = measure_picture(content, SETTINGS)
        assert (outcome.reason, outcome.frames) == ("", 2), kind
        assert distance(outcome, measure_picture(pictures.encoded(first, "PNG"), SETTINGS)) <= 4, kind


def test_a_phones_jpeg_with_a_preview_is_measured_by_its_main_picture(pictures) -> None:
    content = pictures.encoded(
        pictures.photo(), "MPO", save_all=True, append_images=[pictures.photo(50, 40, number=2)]
    )
    outcome = measure_picture(content, SETTINGS)
    assert (outcome.reason, outcome.format, outcome.frames) == ("", "MPO", 2)
    assert distance(outcome, measure_picture(pictures.encoded(pictures.photo()), SETTINGS)) == 0


# --- upright, without metadata -------------------------------------------------------------------------

# How a picture is stored so that a reader who applies the orientation sees it upright.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("large", [False, True], ids=["full size", "reduced"])
def test_all_orientations_give_the_same_upright_picture(kind: str, large: bool, pictures) -> None:
    upright = pictures.photo(600, 400) if large else pictures.photo(120, 80)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    expected = pictures.decoded(measure_picture(pictures.encoded(upright, kind, **options), SETTINGS).jpeg)
    for orientation in range(1, 9):
        stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        outcome = measure_picture(pictures.encoded(stored, kind, exif=exif, **options), SETTINGS)
        result = pictures.decoded(outcome.jpeg)
        assert result.size == expected.size, orientation
        difference = np.abs(np.asarray(result, dtype=float) - np.asarray(expected, dtype=float))
        assert difference.mean() < 4, orientation  # another way up would be at 30 and more


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_metadata_is_published(kind: str, pictures) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken by Jane Roe"
    options: dict[str, object] = {"exif": exif, "icc_profile": b"Jane Roe's profile" * 10}
    if kind == "JPEG":
        options["comment"] = b"Jane Roe was here"
    if kind in ("JPEG", "WEBP"):
        options["xmp"] = b"<x:xmpmeta>Jane Roe</x:xmpmeta>"
    content = pictures.encoded(pictures.photo(), kind, **options)
    assert b"Jane Roe" in content or kind == "PNG"
    outcome = measure_picture(content, SETTINGS)
    result = pictures.decoded(outcome.jpeg)
    assert b"Jane" not in (outcome.jpeg or b"")
    assert not result.getexif()
    assert set(result.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_damaged_metadata_does_not_spoil_a_picture(pictures) -> None:
    content = pictures.encoded(pictures.photo(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff damaged")
    assert measure_picture(content, SETTINGS).reason == ""


# --- decoding at reduced size ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(1500, 1125), (1501, 999), (1024, 1024), (2050, 700), (513, 512), (4100, 30)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_decoding_gives_the_picture_of_full_decoding(
    size: tuple[int, int], mode: str, pictures
) -> None:
    content = pictures.encoded(pictures.photo(*size, mode=mode), quality=92)
    full = pictures.encoded(pictures.decoded(content), "TIFF")  # the same pixels where none can be left out
    reduced, whole = (measure_picture(file, ImageSettings()) for file in (content, full))
    one, other = pictures.decoded(reduced.jpeg), pictures.decoded(whole.jpeg)
    assert one.size == other.size
    assert max(one.size) == 512
    assert np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean() < 1.5
    assert distance(reduced, whole) <= 2


def test_progressive_and_sequential_jpegs_of_the_same_picture_have_the_same_pixels(pictures) -> None:
    drawn = pictures.photo(900, 700)
    one, other = (
        measure_picture(pictures.encoded(drawn, progressive=progressive), SETTINGS)
        for progressive in (False, True)
    )
    assert one.image_id != other.image_id
    assert (one.pixel_id, one.jpeg) == (other.pixel_id, other.jpeg)


def test_the_same_pixels_have_one_pixel_id_whatever_file_holds_them(pictures) -> None:
    outcomes = [
        measure_picture(pictures.encoded(pictures.photo(), kind, **options), SETTINGS)
        for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}))
    ]
    assert len({outcome.image_id for outcome in outcomes}) == 4
    assert len({outcome.pixel_id for outcome in outcomes}) == 1


def test_pixel_ids_tell_shapes_apart() -> None:
    flat = np.zeros((6, 4, 3), dtype=np.uint8)
    assert pixel_id(flat) != pixel_id(flat.reshape(4, 6, 3))


def test_measuring_again_gives_the_same_bytes(pictures) -> None:
    for kind in KINDS:
        content = pictures.encoded(pictures.photo(700, 500), kind)
        assert measure_picture(content, SETTINGS) == measure_picture(content, SETTINGS)


# --- damage ---------------------------------------------------------------------------------------------


def readable_for_datasets(content: bytes) -> bool:
    """Tell whether Pillow, and so `datasets`, decodes the bytes."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # noqa: BLE001 (whatever it is, it cannot be read)
        return False
    return True


SOUND: dict[str, tuple[str, str, dict[str, object]]] = {
    "sequential JPEG": ("JPEG", "RGB", {}),
    "progressive JPEG": ("JPEG", "RGB", {"progressive": True}),
    "JPEG with restart markers": ("JPEG", "RGB", {"restart_marker_rows": 2, "subsampling": 0}),
    "grey JPEG": ("JPEG", "L", {}),
    "CMYK JPEG": ("JPEG", "CMYK", {}),
    "PNG": ("PNG", "RGB", {}),
    "palette PNG": ("PNG", "P", {}),
    "WebP": ("WEBP", "RGB", {}),
    "lossless WebP": ("WEBP", "RGBA", {"lossless": True}),
    "GIF": ("GIF", "P", {}),
    "BMP": ("BMP", "RGB", {}),
    "TIFF": ("TIFF", "RGB", {}),
    "LZW TIFF": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_truncated_file_is_refused_exactly_where_datasets_fails(name: str, pictures) -> None:
    kind, mode, options = SOUND[name]
    content = pictures.encoded(pictures.photo(120, 90, mode), kind, **options)
    lengths = {*range(0, 24, 3), *(len(content) * part // 30 for part in range(30))}
    lengths |= set(range(len(content) - 16, len(content) + 1))
    refused = 0
    for length in sorted(lengths):
        outcome = measure_picture(content[:length], SETTINGS)
        assert (outcome.jpeg is not None) == readable_for_datasets(content[:length]), length
        refused += outcome.jpeg is None
    assert refused > len(lengths) / 2
    half = measure_picture(content[: len(content) * 2 // 3], SETTINGS)
    assert half.reason == ("broken_header" if name == "LZW TIFF" else "truncated_or_corrupt")


@pytest.mark.parametrize("name", SOUND)
def test_a_damaged_file_is_refused_exactly_where_datasets_fails(name: str, pictures) -> None:
    kind, mode, options = SOUND[name]
    content = pictures.encoded(pictures.photo(40, 36, mode), kind, **options)
    draw = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(content)
        for place in draw.integers(0, min(len(content), 300), 4):
            damaged[place] = draw.integers(256)
        outcome = measure_picture(bytes(damaged), SETTINGS)
        assert (outcome.jpeg is None) == bool(outcome.reason)
        assert (outcome.jpeg is not None) == readable_for_datasets(bytes(damaged)) or outcome.reason in (
            "too_many_pixels",
            "too_many_scans",
        )
