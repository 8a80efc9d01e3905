"""The project's pHash: its definition, its distance from imagehash's, and its structure measure."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.fftpack import dct

from mmecinstruct.images.perceptual_hash import (
    difference_hash,
    format_hash,
    grey_of,
    hashes_and_structures,
    parse_hash,
    perceptual_hash,
    perceptual_hashes,
    reduced,
    structure_of,
)
from mmecinstruct.synthetic.shop.image import render_image
from mmecinstruct.synthetic.shop.image_spec import ImageSpec
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES


def random_greys(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, 32, 32), dtype=np.uint8)


def test_bits_follow_the_documented_definition() -> None:
    for grey in random_greys(40):
        low = dct(dct(grey.astype(float), axis=0), axis=1)[:8, :8]
        bits = (low > np.median(low)).reshape(-1)
        expected = int("".join("1" if bit else "0" for bit in bits), 2)
        assert perceptual_hash(grey) == expected


def test_a_batch_gives_the_hashes_of_single_images() -> None:
    greys = random_greys(5000)
    hashes = perceptual_hashes(greys)
    assert (hashes.dtype, hashes.shape) == (np.uint64, (5000,))
    for position in (0, 1, 4095, 4096, 4999):
        assert int(hashes[position]) == perceptual_hash(greys[position])
    assert perceptual_hashes(greys[:0]).shape == (0,)


def test_known_images_keep_their_hashes() -> None:
    # Other hashes mean another definition and need another PHASH_VERSION.
    ramp = (np.add.outer(np.arange(32) * 3, (np.arange(32) ** 2) % 97)).astype(np.uint8)
    assert [format_hash(int(value)) for value in perceptual_hashes(np.stack([ramp, ramp.T, 255 - ramp]))] == [
        *("8100000000000000", "8000000000000080", "fe80008000800080")
    ]


def test_a_hash_is_stored_as_sixteen_digits() -> None:
    assert format_hash(0xAB) == "00000000000000ab"
    assert parse_hash("80000000000000ab") == 0x80000000000000AB
    for text in ("ab", "x" * 16, ""):
        with pytest.raises(ValueError, match=r"hexadecimal|invalid literal"):
            parse_hash(text)


def hash_of(image: Image.Image) -> int:
    return perceptual_hash(grey_of(image))


def test_bits_deviate_little_from_imagehash(images) -> None:
    distances = []
    for number, category in enumerate(FINE_CATEGORIES[::2]):
        spec = ImageSpec(f"71{number}", category.name, "red", "plain", "regular", number % 4, number)
        full = images.decoded(render_image(spec, 700))
        small = full.resize((512, 512), Image.Resampling.HAMMING)
        distances.append((int(str(imagehash.phash(full)), 16) ^ hash_of(small)).bit_count())
    assert max(distances) <= 4
    assert np.mean(np.array(distances) > 0) <= 0.2


def test_difference_hashes_deviate_little_from_imagehash(images) -> None:
    distances = []
    for number in range(12):
        photo = images.photo(300 + number, 250)
        value = difference_hash(reduced(photo.convert("L")))
        distances.append((int(str(imagehash.dhash(photo)), 16) ^ value).bit_count())
    assert max(distances) <= 4
    assert np.mean(np.array(distances) > 0) <= 0.5


def test_recompression_changes_few_bits(images) -> None:
    original = images.photo(300, 250)
    for quality in (95, 60, 30):
        again = images.decoded(images.encoded(original, quality=quality))
        assert (hash_of(original) ^ hash_of(again)).bit_count() <= 2


def test_hashes_ignore_colour(images) -> None:
    red, green, blue = images.photo(300, 250).convert("L").convert("RGB").split()
    tinted = Image.merge("RGB", (red.point(lambda v: v * 0.8), green, blue.point(lambda v: v * 0.8)))
    assert (hash_of(tinted) ^ hash_of(Image.merge("RGB", (red, green, blue)))).bit_count() <= 2


def rendered(kind: str) -> Image.Image:
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    if kind == "vertical gradient":
        return Image.linear_gradient("L").resize((400, 300)).convert("RGB")
    if kind == "round gradient":
        return Image.radial_gradient("L").resize((400, 300)).convert("RGB")
    if kind == "stripes":
        for position in range(0, 400, 50):
            draw.rectangle((position, 0, position + 20, 300), fill="black")
    if kind == "noise":
        values = np.random.default_rng(3).normal(250, 2, (300, 400, 3)).clip(0, 255).astype(np.uint8)
        return Image.fromarray(values)
    if kind == "product":
        draw.ellipse((90, 60, 250, 240), fill="darkred")
        draw.rectangle((240, 100, 300, 180), outline="darkred", width=15)
    return image


@pytest.mark.parametrize("kind", ["blank", "vertical gradient", "round gradient", "stripes", "noise"])
def test_gradients_stripes_and_noise_have_no_structure(kind: str) -> None:
    assert structure_of(grey_of(rendered(kind))) < 3


def test_products_have_structure(images) -> None:
    assert structure_of(grey_of(rendered("product"))) > 20
    assert structure_of(grey_of(images.photo())) > 20


def test_structure_predicts_which_hashes_noise_changes() -> None:
    rng = np.random.default_rng(11)
    pattern = rng.integers(0, 256, (16, 16)).repeat(2, axis=0).repeat(2, axis=1)
    strong = np.clip(128 + (pattern - 128) * 0.8, 0, 255)
    weak = np.clip(128 + (pattern - 128) * 0.01, 0, 255)

    def flipped(image: np.ndarray) -> float:
        noisy = image + rng.normal(0, 2, (200, 32, 32))
        hashes, _ = hashes_and_structures(np.clip(noisy, 0, 255).round().astype(np.uint8))
        clean = perceptual_hash(image.round().astype(np.uint8))
        return float(np.mean([(int(value) ^ clean).bit_count() for value in hashes]))

    assert structure_of(strong.round().astype(np.uint8)) > 30
    assert structure_of(weak.round().astype(np.uint8)) < 3
    assert flipped(strong) < 3 < 8 < flipped(weak)
