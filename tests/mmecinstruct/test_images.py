"""Pictures: located only where the recipe allows, judged header first, normalised to RGB JPEG."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mmecinstruct.errors import RecipeError, SourceError
from mmecinstruct.hashing import sha256_file
from mmecinstruct.images.locate import LocatedPicture, PictureLocator
from mmecinstruct.images.placeholders import reject_placeholders
from mmecinstruct.images.stage import read_pictures
from mmecinstruct.images.validation import validate_picture
from mmecinstruct.parquet import connect
from mmecinstruct.recipe import ImageSettings, Mirror
from mmecinstruct.tables import CURATED_PRODUCTS, IMAGES

SETTINGS = ImageSettings(longest_side=128)


def picture(width: int = 200, height: int = 160, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats_are_told_by_content(kind: str) -> None:
    outcome = validate_picture(encoded(picture(), kind), SETTINGS)
    assert (outcome.reason, outcome.format) == ("", kind)
    assert (outcome.width, outcome.height) == (200, 160)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_mode_becomes_rgb_of_the_wanted_size_without_metadata(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    source = picture()
    if mode == "I;16":
        source = Image.fromarray(np.asarray(picture(mode="L")).astype(np.uint16) * 257)
    else:
        source = source.convert(mode)
    outcome = validate_picture(encoded(source, kind), SETTINGS)
    assert outcome.reason == ""
    assert outcome.jpeg is not None
    result = Image.open(io.BytesIO(outcome.jpeg))
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (128, 102))
    assert not result.getexif()


def test_transparency_is_laid_over_white() -> None:
    drawn = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    drawn.paste((255, 0, 0, 255), (0, 0, 50, 100))
    outcome = validate_picture(encoded(drawn, "PNG"), SETTINGS)
    assert outcome.jpeg is not None
    assert min(Image.open(io.BytesIO(outcome.jpeg)).getpixel((90, 50))) > 240  # type: ignore[arg-type, type-var]


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    outcome = validate_picture(encoded(picture(200, 100), exif=exif), SETTINGS)
    assert outcome.jpeg is not None
    assert Image.open(io.BytesIO(outcome.jpeg)).size == (64, 128)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture"),
        (b"\xff\xd8\xff\xe0 no more", "broken_header"),
        (encoded(picture())[:4000], "truncated_or_corrupt"),
        (encoded(picture(), "PNG")[:4000], "truncated_or_corrupt"),
        (encoded(picture(16, 300)), "too_small"),
        (encoded(picture(40, 300)), "extreme_aspect"),
        (encoded(Image.new("RGB", (100, 100), "white")), "blank"),
        (encoded(picture(), "GIF", save_all=True, append_images=[picture(200, 161)]), "animated"),
        (png_bomb(40_000, 40_000), "too_many_pixels"),
    ],
)
def test_a_bad_picture_ends_with_its_reason(content: bytes, reason: str) -> None:
    outcome = validate_picture(content, SETTINGS)
    assert (outcome.reason, outcome.jpeg) == (reason, None)


def test_content_over_the_byte_cap_is_refused() -> None:
    assert validate_picture(b"x" * 11, ImageSettings(max_bytes=10)).reason == "too_many_bytes"


def test_a_jpegs_comment_is_not_published() -> None:
    outcome = validate_picture(encoded(picture(), comment=b"taken by Jane"), SETTINGS)
    assert outcome.jpeg is not None
    assert b"Jane" not in outcome.jpeg


def test_a_phones_jpeg_with_a_preview_is_a_picture_and_no_animation() -> None:
    content = encoded(picture(), "MPO", save_all=True, append_images=[picture(200, 161)])
    assert (validate_picture(content, SETTINGS).format, validate_picture(content, SETTINGS).reason) == (
        "MPO",
        "",
    )


def test_no_damage_to_a_picture_ends_in_an_exception() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sound = [encoded(picture(40, 36), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
    sound.append(encoded(picture(40, 36), exif=exif))
    draw = np.random.default_rng(5)
    for content in sound:
        for _ in range(60):
            damaged = bytearray(content)
            for place in draw.integers(0, min(len(content), 300), 4):
                damaged[place] = draw.integers(256)
            outcome = validate_picture(bytes(damaged), SETTINGS)
            assert (outcome.jpeg is None) == bool(outcome.reason)


def test_the_perceptual_hash_survives_recompression() -> None:
    smooth = picture().resize((12, 10)).resize((300, 250), Image.Resampling.BICUBIC)
    hashes = {validate_picture(encoded(smooth, quality=quality), SETTINGS).phash for quality in (95, 60)}
    assert len(hashes) == 1


# --- locating ------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "pictures" / "I").mkdir(parents=True)
    (root / "pictures" / "I" / "a b.jpg").write_bytes(encoded(picture()))
    (root / "private").mkdir()
    (root / "private" / "secret.jpg").write_bytes(encoded(picture()))
    (tmp_path / "outside.jpg").write_bytes(encoded(picture()))
    (root / "pictures" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "pictures" / "loop.jpg").symlink_to(root / "pictures" / "loop.jpg")
    (root / "pictures" / "folder.jpg").mkdir()
    return root


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://shop.example/I/a%20b.jpg", ""),
        ("pictures/I/a b.jpg", ""),
        ("https://shop.example/I/none.jpg", "dead_path"),
        ("https://elsewhere.example/I/a.jpg", "no_local_copy"),
        ("https://shop.example/../private/secret.jpg", "outside_folders"),
        ("https://shop.example/%2e%2e/private/secret.jpg", "outside_folders"),
        ("https://shop.example/link.jpg", "outside_folders"),
        ("private/secret.jpg", "dead_path"),
        ("../outside.jpg", "outside_folders"),
        ("/etc/passwd", "outside_folders"),
        ("file:///etc/passwd", "outside_folders"),
        ("data:image/png;base64,AAAA", "data_url"),
        ("ftp://shop.example/a.jpg", "unknown_scheme"),
        ("a\0b.jpg", "bad_path"),
        ("x" * 5000, "bad_path"),
        ("loop.jpg", "bad_path"),
        ("folder.jpg", "dead_path"),
        ("https://[x/a.jpg", "bad_path"),
        ("https://shop.example.evil.example/I/a%20b.jpg", "no_local_copy"),
    ],
)
def test_nothing_outside_the_named_folders_is_opened(root: Path, url: str, reason: str) -> None:
    settings = ImageSettings(
        mirrors=(Mirror(url="https://shop.example/", folder="pictures"),), folders=("pictures",)
    )
    if url.startswith("pictures/"):
        settings = settings.model_copy(update={"folders": (".",)})
    assert PictureLocator(settings, [root]).locate(url).reason == reason


def test_what_is_told_of_a_bad_path_names_no_place_on_the_machine(root: Path) -> None:
    locator = PictureLocator(ImageSettings(folders=("pictures",)), [root])
    for url in ("x" * 5000, "loop.jpg", "a\0b.jpg"):
        assert str(root) not in locator.locate(url).detail


def test_a_mirror_may_be_the_whole_data_root_and_its_address_ends_with_a_slash(root: Path) -> None:
    mirror = Mirror(url="https://shop.example", folder=".")
    located = PictureLocator(ImageSettings(mirrors=(mirror,)), [root]).locate(
        "https://shop.example/pictures/I/a%20b.jpg"
    )
    assert located.path == str(root / "pictures" / "I" / "a b.jpg")


def test_a_mirror_without_folder_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no folder 'nowhere'"):
        PictureLocator(
            ImageSettings(mirrors=(Mirror(url="https://x.example/", folder="nowhere"),)), [tmp_path]
        )


def test_a_shard_accounts_for_every_url(root: Path) -> None:
    file = root / "pictures" / "I" / "a b.jpg"
    (root / "small.jpg").write_bytes(encoded(picture(8, 8)))
    located = [
        LocatedPicture("u1", str(file), sha256=sha256_file(file)),
        LocatedPicture("u2", str(file), sha256=sha256_file(file)),
        LocatedPicture("u3", None, "dead_path", "there is no such file"),
        LocatedPicture("u4", str(root / "small.jpg"), sha256=sha256_file(root / "small.jpg")),
    ]
    images, pixels, rejections = read_pictures(located, SETTINGS)
    assert images["status"].to_pylist() == ["ok", "ok", "rejected", "rejected"]
    assert pixels.num_rows == 1
    assert [(r.reason, r.origin) for r in rejections] == [("dead_path", "u3"), ("too_small", "u4")]


def test_a_file_over_the_byte_cap_is_rejected_unread(root: Path) -> None:
    located = LocatedPicture("u", str(root / "pictures" / "I" / "a b.jpg"), sha256="not its hash")
    (rejection,) = read_pictures([located], ImageSettings(max_bytes=10))[2]
    assert rejection.reason == "too_many_bytes"


def test_a_file_that_changed_since_it_was_located_is_an_error(root: Path) -> None:
    file = root / "pictures" / "I" / "a b.jpg"
    located = LocatedPicture("u", str(file), sha256=sha256_file(file))
    file.write_bytes(encoded(picture(90, 91)))
    with pytest.raises(SourceError, match=r"a b\.jpg changed while the build read it; run the build again"):
        read_pictures([located], SETTINGS)
    file.unlink()
    with pytest.raises(SourceError, match=r"a b\.jpg: cannot be read any more"):
        read_pictures([located], SETTINGS)


# --- placeholders --------------------------------------------------------------------------------------


def test_a_picture_of_many_unrelated_products_is_a_placeholder_but_variants_may_share_one() -> None:
    def product(number: int, cluster: int, url: str) -> dict[str, object]:
        return {"product_id": f"p{number}", "cluster_id": f"c{cluster}", "image_urls": [url]}

    rows = [product(n, n, "shared") for n in range(3)] + [product(n, 9, "variants") for n in range(3, 8)]
    images = [
        {"image_url": name, "status": "ok", "reason": "", "detail": "", "image_id": f"id-{name}"}
        for name in ("shared", "variants")
    ]
    connection = connect()
    connection.register("products", pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS))
    connection.register("images", pa.Table.from_pylist(images, schema=IMAGES))
    table, rejections = reject_placeholders(connection, max_products=2)
    assert table["status"].to_pylist() == ["rejected", "ok"]
    assert [(r.reason, r.record_id) for r in rejections] == [("placeholder", "id-shared")]
