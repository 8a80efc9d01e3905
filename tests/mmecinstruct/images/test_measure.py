"""Measuring one image: its rejections and its normal form."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmecinstruct.images.measure import MeasuredImage, measure_image, pixel_id
from mmecinstruct.images.perceptual_hash import parse_hash
from mmecinstruct.images.settings import ImageSettings

SETTINGS = ImageSettings(longest_side=128)
ORIENTATION = 0x0112
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata


def distance(one: MeasuredImage, other: MeasuredImage) -> int:
    assert one.phash is not None
    assert other.phash is not None
    return (parse_hash(one.phash) ^ parse_hash(other.phash)).bit_count()


@pytest.mark.parametrize("kind", KINDS)
def test_formats_are_recognised_by_content(kind: str, images) -> None:
    outcome = measure_image(images.encoded(images.photo(), kind), SETTINGS)
    assert (outcome.reason, outcome.format, outcome.frames) == ("", kind, 1)
    assert (outcome.width, outcome.height) == (200, 160)


def test_the_normal_form_is_a_measured_rgb_jpeg(images) -> None:
    outcome = measure_image(images.encoded(images.photo(), "PNG"), SETTINGS)
    result = images.decoded(outcome.jpeg)
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (128, 102))
    assert outcome.phash is not None
    assert len(outcome.phash) == 16
    assert outcome.dhash is not None
    assert len(outcome.dhash) == 16
    assert outcome.thumbnail is not None
    thumbnail = np.frombuffer(outcome.thumbnail, np.uint8).reshape(8, 8, 3).astype(float)
    expected = np.asarray(images.photo().resize((8, 8), Image.Resampling.BOX), dtype=float)
    assert np.abs(thumbnail - expected).max() <= 8
    grey = np.asarray(images.photo(mode="L"), dtype=float)
    assert outcome.pixel_deviation == pytest.approx(grey.std(), rel=0.05)
    assert outcome.structure is not None
    assert outcome.structure > 20


def test_an_image_has_the_hash_of_its_mirrored_form(images) -> None:
    outcome, mirrored = (
        measure_image(images.encoded(one, "PNG"), SETTINGS)
        for one in (images.photo(), ImageOps.mirror(images.photo()))
    )
    assert outcome.phash != mirrored.phash
    for one, other in ((outcome, mirrored), (mirrored, outcome)):
        assert (parse_hash(one.mirrored_phash) ^ parse_hash(other.phash)).bit_count() <= 2


def test_a_sketch_holds_the_mean_colours(images) -> None:
    outcome = measure_image(images.encoded(images.photo(), "PNG"), SETTINGS)
    sketch = np.frombuffer(outcome.sketch, np.uint8).reshape(32, 32, 3).astype(float)
    expected = np.asarray(images.photo().resize((32, 32), Image.Resampling.BOX), dtype=float)
    assert np.abs(sketch - expected).max() <= 12
    assert np.abs(sketch - expected).mean() <= 2


def test_a_small_image_is_not_enlarged(images) -> None:
    for size in ((1, 1), (3, 90), (100, 2)):
        outcome = measure_image(images.encoded(images.photo(*size), "PNG"), SETTINGS)
        assert images.decoded(outcome.jpeg).size == size


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"<!doctype html><html>404", "not_an_image"),
        (np.random.default_rng(1).bytes(5000), "not_an_image"),
        (b"\xff\xd8\xff\xe0 no more", "broken_header"),
        (b"\x89PNG\r\n\x1a\n", "broken_header"),
        (b"GIF89a", "broken_header"),
        (b"BM" + bytes(60), "broken_header"),
        (b"II*\0" + bytes(60), "broken_header"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken_header"),
    ],
)
def test_content_that_is_no_image_gets_a_reason(content: bytes, reason: str) -> None:
    outcome = measure_image(content, SETTINGS)
    assert (outcome.reason, outcome.jpeg, bool(outcome.detail)) == (reason, None, True)


def test_content_over_the_byte_cap_is_rejected() -> None:
    assert measure_image(b"x" * 11, ImageSettings(max_bytes=10)).reason == "too_many_bytes"


def test_the_pixel_cap_is_inclusive(images) -> None:
    for kind in KINDS:
        content = images.encoded(images.photo(), kind)
        assert measure_image(content, ImageSettings(max_pixels=32_000)).reason == ""
        rejected = measure_image(content, ImageSettings(max_pixels=31_999))
        assert (rejected.reason, "200x160" in rejected.detail) == ("too_many_pixels", True)


def test_a_jpeg_of_many_scans_is_rejected_undecoded(images) -> None:
    content = images.encoded(images.photo(), progressive=True)
    scans = content[content.index(b"\xff\xda") : -2]
    assert measure_image(content[:-2] + scans * 60 + content[-2:], SETTINGS).reason == "too_many_scans"


def test_an_animation_is_measured_by_its_first_frame(images) -> None:
    first, second = images.photo(), images.photo(number=2)
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = images.encoded(first, kind, save_all=True, append_images=[second], **options)
        outcome = measure_image(content, SETTINGS)
        assert (outcome.reason, outcome.frames) == ("", 2), kind
        assert distance(outcome, measure_image(images.encoded(first, "PNG"), SETTINGS)) <= 4, kind


def test_an_mpo_file_is_measured_by_its_main_image(images) -> None:
    content = images.encoded(
        images.photo(), "MPO", save_all=True, append_images=[images.photo(50, 40, number=2)]
    )
    outcome = measure_image(content, SETTINGS)
    assert (outcome.reason, outcome.format, outcome.frames) == ("", "MPO", 2)
    assert distance(outcome, measure_image(images.encoded(images.photo()), SETTINGS)) == 0


# --- upright, without metadata -------------------------------------------------------------------------

# How an image is stored so that applying the orientation makes it upright.
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
def test_all_orientations_give_the_same_upright_image(kind: str, large: bool, images) -> None:
    upright = images.photo(600, 400) if large else images.photo(120, 80)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    expected = images.decoded(measure_image(images.encoded(upright, kind, **options), SETTINGS).jpeg)
    for orientation in range(1, 9):
        stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        outcome = measure_image(images.encoded(stored, kind, exif=exif, **options), SETTINGS)
        result = images.decoded(outcome.jpeg)
        assert result.size == expected.size, orientation
        difference = np.abs(np.asarray(result, dtype=float) - np.asarray(expected, dtype=float))
        # Another orientation gives 30 and more.
        assert difference.mean() < 4, orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_metadata_is_published(kind: str, images) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken by Jane Roe"
    options: dict[str, object] = {"exif": exif, "icc_profile": b"Jane Roe's profile" * 10}
    if kind == "JPEG":
        options["comment"] = b"Jane Roe was here"
    if kind in ("JPEG", "WEBP"):
        options["xmp"] = b"<x:xmpmeta>Jane Roe</x:xmpmeta>"
    content = images.encoded(images.photo(), kind, **options)
    assert b"Jane Roe" in content or kind == "PNG"
    outcome = measure_image(content, SETTINGS)
    result = images.decoded(outcome.jpeg)
    assert b"Jane" not in (outcome.jpeg or b"")
    assert not result.getexif()
    assert set(result.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_damaged_metadata_does_not_reject_an_image(images) -> None:
    content = images.encoded(images.photo(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff damaged")
    assert measure_image(content, SETTINGS).reason == ""


# --- decoding at reduced size ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(1500, 1125), (1501, 999), (1024, 1024), (2050, 700), (513, 512), (4100, 30)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_decoding_matches_full_decoding(size: tuple[int, int], mode: str, images) -> None:
    content = images.encoded(images.photo(*size, mode=mode), quality=92)
    # The same pixels in a format that is always decoded in full.
    full = images.encoded(images.decoded(content), "TIFF")
    reduced, whole = (measure_image(file, ImageSettings()) for file in (content, full))
    one, other = images.decoded(reduced.jpeg), images.decoded(whole.jpeg)
    assert one.size == other.size
    assert max(one.size) == 512
    assert np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean() < 1.5
    assert distance(reduced, whole) <= 2


def test_progressive_and_sequential_jpegs_have_equal_pixels(images) -> None:
    rendered = images.photo(900, 700)
    one, other = (
        measure_image(images.encoded(rendered, progressive=progressive), SETTINGS)
        for progressive in (False, True)
    )
    assert one.image_id != other.image_id
    assert (one.pixel_id, one.jpeg) == (other.pixel_id, other.jpeg)


def test_equal_pixels_have_one_pixel_id_in_every_format(images) -> None:
    outcomes = [
        measure_image(images.encoded(images.photo(), kind, **options), SETTINGS)
        for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}))
    ]
    assert len({outcome.image_id for outcome in outcomes}) == 4
    assert len({outcome.pixel_id for outcome in outcomes}) == 1


def test_pixel_ids_depend_on_the_shape() -> None:
    flat = np.zeros((6, 4, 3), dtype=np.uint8)
    assert pixel_id(flat) != pixel_id(flat.reshape(4, 6, 3))


def test_measuring_again_gives_the_same_bytes(images) -> None:
    for kind in KINDS:
        content = images.encoded(images.photo(700, 500), kind)
        assert measure_image(content, SETTINGS) == measure_image(content, SETTINGS)


# --- damage ---------------------------------------------------------------------------------------------


def readable_for_datasets(content: bytes) -> bool:
    """Return whether Pillow, and so `datasets`, decodes the bytes."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # noqa: BLE001 (any exception means that it cannot be read)
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
def test_truncated_files_are_rejected_where_datasets_fails(name: str, images) -> None:
    kind, mode, options = SOUND[name]
    content = images.encoded(images.photo(120, 90, mode), kind, **options)
    lengths = {*range(0, 24, 3), *(len(content) * part // 30 for part in range(30))}
    lengths |= set(range(len(content) - 16, len(content) + 1))
    rejected = 0
    for length in sorted(lengths):
        outcome = measure_image(content[:length], SETTINGS)
        assert (outcome.jpeg is not None) == readable_for_datasets(content[:length]), length
        rejected += outcome.jpeg is None
    assert rejected > len(lengths) / 2
    half = measure_image(content[: len(content) * 2 // 3], SETTINGS)
    assert half.reason == ("broken_header" if name == "LZW TIFF" else "truncated_or_corrupt")


@pytest.mark.parametrize("name", SOUND)
def test_damaged_files_are_rejected_where_datasets_fails(name: str, images) -> None:
    kind, mode, options = SOUND[name]
    content = images.encoded(images.photo(40, 36, mode), kind, **options)
    rng = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(0, min(len(content), 300), 4):
            damaged[position] = rng.integers(256)
        outcome = measure_image(bytes(damaged), SETTINGS)
        assert (outcome.jpeg is None) == bool(outcome.reason)
        assert (outcome.jpeg is not None) == readable_for_datasets(bytes(damaged)) or outcome.reason in (
            "too_many_pixels",
            "too_many_scans",
        )
