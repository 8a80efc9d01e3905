"""Identical and near images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmecinstruct.duplicates.images import (
    Images,
    colour_difference,
    image_pairs,
    near_images,
    near_images_between,
)
from mmecinstruct.duplicates.settings import DuplicateSettings

SETTINGS = DuplicateSettings()


def kinds(pairs, images):
    """{frozenset of URLs: kind}."""
    url = dict(zip(images["image_id"].to_pylist(), images["image_url"].to_pylist(), strict=True))
    return {frozenset((url[row["image_a"]], url[row["image_b"]])): row["kind"] for row in pairs.to_pylist()}


def test_resized_and_recompressed_images_are_near(make) -> None:
    original = make.drawing(1)
    images = make.images(
        {
            "original": make.encoded(original, quality=92),
            "recompressed": make.encoded(original, quality=40),
            "resized": make.encoded(original.resize((170, 170)), quality=85),
            "another": make.encoded(make.drawing(2)),
        }
    )
    pairs, counts, _ = image_pairs(images, SETTINGS)
    same = ["original", "recompressed", "resized"]
    assert kinds(pairs, images) == {
        frozenset((a, b)): "near" for position, a in enumerate(same) for b in same[position + 1 :]
    }
    assert counts == {
        "images": 4,
        "unhashed": 0,
        "too_little_structure": 0,
        "identical_pixels": 0,
        "near": 3,
        "mirrored": 0,
    }


def test_a_colour_variant_of_a_drawing_is_not_near(make) -> None:
    images = make.images({one: make.encoded(make.drawing(3, one)) for one in ("red", "blue", "green")})
    blind = DuplicateSettings(max_colour_difference=255, image_radius=12)
    assert len(image_pairs(images, blind)[0]) == 3
    assert len(image_pairs(images, DuplicateSettings(image_radius=12))[0]) == 0


def test_identical_pixels_in_other_bytes_are_found(make) -> None:
    drawing = make.drawing(4)
    images = make.images(
        {
            "png": make.encoded(drawing, "PNG"),
            "other png": make.encoded(drawing, "PNG", compress_level=0),
            "bmp": make.encoded(drawing, "WEBP", lossless=True),
        }
    )
    pairs, counts, _ = image_pairs(images, SETTINGS)
    assert set(kinds(pairs, images).values()) == {"identical_pixels"}
    assert (pairs.num_rows, counts["identical_pixels"], counts["near"]) == (2, 2, 0)
    assert len({*pairs["image_a"].to_pylist()}) == 1


def test_images_with_too_little_structure_are_not_near(make) -> None:
    grey, other = Image.new("RGB", (200, 200), (120, 120, 120)), Image.new("RGB", (200, 200), (122, 122, 122))
    images = make.images({"a": make.encoded(grey, "PNG"), "b": make.encoded(other, "PNG")})
    pairs, counts, _ = image_pairs(images, SETTINGS)
    assert (pairs.num_rows, counts["too_little_structure"]) == (0, 2)
    assert image_pairs(images, DuplicateSettings(min_structure=0))[0].num_rows == 1


def test_rejected_images_and_repeated_bytes_do_not_count(make) -> None:
    content = make.encoded(make.drawing(5))
    images = make.images(
        {"a": content, "b": content, "c": make.encoded(make.drawing(5), quality=60)},
        c={"status": "rejected", "reason": "placeholder"},
    )
    pairs, counts, _ = image_pairs(images, SETTINGS)
    assert (pairs.num_rows, counts["images"]) == (0, 1)


def test_images_without_a_hash_are_counted(make) -> None:
    images = make.images({"a": make.encoded(make.drawing(6))}, a={"phash": None})
    assert image_pairs(images, SETTINGS)[1]["unhashed"] == 1


def test_hashes_of_two_versions_are_an_error(make) -> None:
    images = make.images(
        {"a": make.encoded(make.drawing(7)), "b": make.encoded(make.drawing(8))}, b={"phash_version": "old/1"}
    )
    with pytest.raises(ValueError, match=r"several versions.*measure all images again"):
        image_pairs(images, SETTINGS)


def test_an_empty_table_has_no_pairs(make) -> None:
    pairs, counts, _ = image_pairs(make.images({}), SETTINGS)
    assert (pairs.num_rows, counts["images"]) == (0, 0)


def test_the_most_different_cell_sets_the_colour_difference() -> None:
    left = np.full((2, 64, 3), 200, np.uint8)
    right = left.copy()
    right[0, 17] = (230, 200, 200)
    right[0, 18] = (201, 201, 201)
    right[1] -= 5
    assert colour_difference(left, right).tolist() == [10.0, 5.0]


def some_images(count, seed):
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 256, count, dtype=np.uint64)
    thumbnails = (generator.integers(0, 3, (count, 1, 3)) * 20 + np.zeros((count, 64, 3))).astype(np.uint8)
    return Images([f"{seed}-{number:03d}" for number in range(count)], hashes, thumbnails)


def test_hash_and_colour_decide_within_and_between_lists() -> None:
    settings = DuplicateSettings(image_radius=2, max_colour_difference=15)
    left, right = some_images(80, 1), some_images(60, 2)

    def expected(one, other):
        return {
            (i, j)
            for i in range(len(one))
            for j in range(len(other))
            if bin(int(one.hashes[i] ^ other.hashes[j])).count("1") <= 2
            and np.abs(one.thumbnails[i].astype(int) - other.thumbnails[j].astype(int)).mean(1).max() <= 15
        }

    assert {(a, b) for a, b, _, _ in near_images_between(left, right, settings)} == expected(left, right)
    within = {(int(row["image_a"][2:]), int(row["image_b"][2:])) for row in near_images(left, settings)}
    assert within == {(i, j) for i, j in expected(left, left) if i < j}
    assert len(within) > 50
