"""Edited images: cropped, with a border, covered by a logo, mirrored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from mmecinstruct.duplicates import second_look
from mmecinstruct.duplicates.alignment import ALTERED, NONE, PART, edits_between
from mmecinstruct.duplicates.find import find_duplicates
from mmecinstruct.duplicates.second_look import Sketches, blocks_of, edited_images
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.tables import PIXELS

SIDE = 320
LEVELS = DuplicateSettings().max_colour_difference
Edit = Callable[[Image.Image], Image.Image]


def photograph(seed: int) -> Image.Image:
    """Soft shapes of many colours, as in a photograph; another seed gives another one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    rng = np.random.default_rng(seed + 1000)
    for _ in range(6):
        x, y, w, h = (int(value) for value in rng.integers(20, 200, 4))
        pen.ellipse((x, y, x + w // 2, y + h // 2), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def logo(image: Image.Image) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).rectangle((225, 270, 300, 305), fill=(20, 40, 160))
    return image


def cropped(left: float, top: float, right: float, bottom: float) -> Edit:
    return lambda image: image.crop(
        (round(left * SIDE), round(top * SIDE), round((1 - right) * SIDE), round((1 - bottom) * SIDE))
    )


def border(share: float, colour: str = "white") -> Edit:
    return lambda image: ImageOps.expand(image, round(share * SIDE), colour)


EDITS: dict[str, tuple[Edit, int]] = {
    "same": (lambda image: image, ALTERED),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.08), ALTERED),
    "logo": (logo, ALTERED),
    "crop of 10 %": (cropped(0.05, 0.05, 0.05, 0.05), PART),
    "crop of a corner": (cropped(0, 0, 0.1, 0.1), PART),
    "crop of one side": (cropped(0, 0, 0.15, 0), PART),
    "border of 5 %": (border(0.05), PART),
    "border of 10 %": (border(0.1, "lightgrey"), PART),
}


def sketches(make: Any, *images: Image.Image) -> Sketches:
    rows = [
        {
            "image_id": str(number),
            "sketch": measure_image(make.encoded(image, quality=90), ImageSettings()).sketch,
        }
        for number, image in enumerate(images)
    ]
    return Sketches.of(pa.Table.from_pylist(rows))


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_image_is_found(name: str, make: Any) -> None:
    edit, kind = EDITS[name]
    originals = [photograph(seed) for seed in range(12)]
    left, right = sketches(make, *originals), sketches(make, *map(edit, originals))
    kinds, shares = edits_between(left.pixels, right.pixels, LEVELS)
    assert (kinds != NONE).sum() >= 11
    # Without fine structure, a part looks like the whole with something altered.
    assert (kinds == kind).sum() >= 9
    assert (shares[kinds != NONE] <= 0.1).all()
    # Either of the two may be the edited one, and any pair alone gives the same.
    assert (edits_between(right.pixels, left.pixels, LEVELS)[0] != NONE).sum() >= 11
    assert edits_between(left.pixels[:1], right.pixels[:1], LEVELS)[0][0] == kinds[0]


def test_other_images_and_colour_variants_are_no_edits(make: Any) -> None:
    photographs = sketches(make, *(photograph(seed) for seed in range(20)))
    variants = sketches(
        make, *(make.drawing(3, colour) for colour in ("red", "blue", "green")), make.drawing(4)
    )
    for found in (photographs, variants):
        a, b = np.triu_indices(len(found.image_ids), 1)
        assert (edits_between(found.pixels[a], found.pixels[b], LEVELS)[0] == NONE).all()
        turned = found.pixels[b][..., ::-1]
        assert (edits_between(found.pixels[a], turned, LEVELS)[0] == NONE).all()


def test_a_small_part_in_another_colour_is_a_variant(make: Any) -> None:
    def bottle(cap: str) -> Image.Image:
        image = Image.new("RGB", (SIDE, SIDE), "white")
        pen = ImageDraw.Draw(image)
        pen.rounded_rectangle((100, 90, 220, 300), 30, fill=(90, 110, 120))
        pen.rectangle((115, 160, 205, 230), fill=(220, 225, 230))
        pen.rectangle((115, 30, 205, 90), fill=cap)
        return image

    red, blue = sketches(make, bottle("red")), sketches(make, bottle("orange"))
    assert edits_between(red.pixels, blue.pixels, LEVELS)[0].tolist() == [NONE]


def test_edited_images_are_found_within_blocks_only(make: Any) -> None:
    originals = [photograph(seed) for seed in range(6)]
    edits: list[Edit] = [EDITS["crop of 10 %"][0], logo, ImageOps.mirror]
    found = sketches(
        make,
        *originals,
        *(edit(image) for edit, image in zip(edits, originals, strict=False)),
        ImageOps.mirror(EDITS["crop of 10 %"][0](originals[3])),
    )
    owners = np.arange(len(found.image_ids))
    everything = np.arange(len(found.image_ids))
    rows = edited_images(found, [everything], owners, LEVELS)
    assert {(row["image_a"], row["image_b"]): row["kind"] for row in rows} == {
        ("0", "6"): "part",
        ("1", "7"): "altered",
        ("2", "8"): "mirrored_altered",
        ("3", "9"): "mirrored_part",
    }
    # Blocks may overlap; a pair in no block, or of one product, is not compared.
    assert edited_images(found, [everything[:8], everything[4:8]], owners, LEVELS) == rows[:2]
    assert edited_images(found, [np.array([0, 7]), np.array([1, 6])], owners, LEVELS) == []
    owners[[0, 6]] = 0
    assert edited_images(found, [everything[:7]], owners, LEVELS) == []
    owners[[0, 6]] = -1
    assert len(edited_images(found, [everything[:7]], owners, LEVELS)) == 1


def test_the_most_similar_images_of_a_block_are_aligned(make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(second_look, "NEIGHBOURS", 1)
    monkeypatch.setattr(second_look, "_ROWS_AT_ONCE", 3)
    originals = [photograph(seed) for seed in range(8)]
    found = sketches(make, *originals, *map(EDITS["crop of 10 %"][0], originals))
    rows = edited_images(found, [np.arange(16)], np.arange(16), LEVELS)
    assert len(rows) == 8


def test_blocks_hold_rare_words_brands_and_categories(monkeypatch: Any) -> None:
    products = [
        {"product_id": f"p{number}", "title": title, "brand": brand, "category": category}
        for number, (title, brand, category) in enumerate(
            [
                ("Enamel camping mug", "Acme", "Mugs"),
                ("Camping mug of enamel", None, "Mugs"),
                ("Desk lamp", "Acme", "Lamps"),
                ("Alone", None, ""),
            ]
        )
    ]
    images = {"p0": [0, 1], "p1": [2], "p2": [3], "p3": [4]}
    blocks, too_large = blocks_of(products, images)
    assert ([block.tolist() for block in blocks], too_large) == (
        # Brand, category, and the words camping, enamel, mug.
        [[0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]],
        0,
    )
    monkeypatch.setattr(second_look, "MAX_BLOCK", 2)
    assert blocks_of(products, images) == ([], 5)


@pytest.fixture
def shop(make: Any, tmp_path: Path) -> tuple[pa.Table, pa.Table, Path]:
    """An image, its mirrored form, a crop and a crop under a title of other words; and their sketches."""
    crop = EDITS["crop of 10 %"][0]
    contents = {
        "original": photograph(1),
        "mirrored": ImageOps.mirror(photograph(1)),
        "crop": crop(photograph(1)),
        "elsewhere": ImageOps.mirror(photograph(1)).resize((300, 300)),
        "other": photograph(2),
    }
    encoded = {name: make.encoded(image, quality=92) for name, image in contents.items()}
    images = make.images(encoded)
    measured = [measure_image(content, ImageSettings()) for content in encoded.values()]
    pq.write_table(
        pa.Table.from_pylist(
            [{"image_id": one.image_id, "jpeg": one.jpeg, "sketch": one.sketch} for one in measured],
            schema=PIXELS,
        ),
        tmp_path / "pixels.parquet",
    )
    products = make.products(
        {"product_id": "shop:1", "title": "Enamel mug", "image_urls": ["original"]},
        {"product_id": "shop:2", "title": "Camping mug", "image_urls": ["mirrored"]},
        {"product_id": "shop:3", "title": "Large mug", "image_urls": ["crop"]},
        {"product_id": "shop:4", "title": "Poster", "image_urls": ["elsewhere"]},
        {"product_id": "shop:5", "title": "Glass mug", "image_urls": ["other"]},
    )
    return products, images, tmp_path / "pixels.parquet"


def clusters(result: Any) -> dict[str, str]:
    return {row["product_id"]: row["cluster_id"] for row in result.products.to_pylist()}


def kinds(result: Any) -> set[tuple[str, str, str]]:
    return {(row["product_a"], row["product_b"], row["kind"]) for row in result.pairs.to_pylist()}


def test_mirrored_images_link_products_that_have_something_in_common(shop: Any) -> None:
    products, images, _ = shop
    result = find_duplicates(products, images, DuplicateSettings())
    assert kinds(result) == {
        ("shop:1", "shop:2", "mirrored_image"),
        ("shop:2", "shop:4", "near_image"),
    }
    assert clusters(result)["shop:2"] == "shop:1"
    assert result.statistics["pairs"]["mirrored_image"] == 1


def test_a_second_look_links_and_merges_nothing(shop: Any) -> None:
    products, images, pixels = shop
    settings = DuplicateSettings(second_look=True, merge=True, same_product_similarity=0.1)
    result = find_duplicates(products, images, settings, sketches=[pixels])
    assert kinds(result) >= {
        ("shop:1", "shop:2", "mirrored_image"),
        ("shop:1", "shop:3", "edited_image"),
        ("shop:2", "shop:3", "edited_image"),
    }
    assert not any("shop:5" in pair for pair in kinds(result))
    assert clusters(result) == {
        **dict.fromkeys(["shop:1", "shop:2", "shop:3", "shop:4"], "shop:1"),
        "shop:5": "shop:5",
    }
    assert result.merged == {}
    assert result.statistics["pairs"]["images_blocks_too_large"] == 0
