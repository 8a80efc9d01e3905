"""The sample shop's images: determined by their specification, with measurable content."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.synthetic.shop import render_images
from mmecinstruct.synthetic.shop.image import render_image
from mmecinstruct.synthetic.shop.image_canvas import COLOURS as RGB
from mmecinstruct.synthetic.shop.image_products import RENDERERS
from mmecinstruct.synthetic.shop.image_spec import ImageSpec
from mmecinstruct.synthetic.shop.vocabulary import COLOURS, FINE_CATEGORIES, PAIRS, PATTERNS

MUG = ImageSpec("71abc", "Mugs", "red", "plain", "regular", 0, 12345)


def pixels(spec: ImageSpec, side: int = 128) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(render_image(spec, side))).convert("RGB")).astype(int)


def share_of_colour(spec: ImageSpec, colour: str) -> float:
    """Return the share of pixels whose hue is near a colour's, at any brightness."""
    image = Image.open(io.BytesIO(render_image(spec, 128))).convert("RGB")
    rendered = np.asarray(image).astype(float)
    wanted = np.array(RGB[colour], dtype=float)
    return float((np.abs(rendered - wanted).sum(axis=2) < 110).mean())


def test_a_image_depends_on_its_specification_alone() -> None:
    assert render_image(MUG, 224) == render_image(MUG, 224)
    assert render_image(MUG, 224) == render_image(replace(MUG, image_id="another"), 224)
    assert render_image(MUG, 224) != render_image(replace(MUG, variation=54321), 224)


def test_rendering_in_parts_gives_the_same_files(tmp_path: Path) -> None:
    specs = [replace(MUG, image_id=f"71{number}", variation=number) for number in range(4)]
    calls: list[tuple[int, int]] = []
    render_images(specs, tmp_path / "whole", 64, lambda done, total: calls.append((done, total)))
    render_images(specs[2:], tmp_path / "parts", 64)
    render_images(specs[:2], tmp_path / "parts", 64)
    for spec in specs:
        path = Path("images") / "I" / f"{spec.image_id}.jpg"
        assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "parts" / path).read_bytes()
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("category", [category.name for category in FINE_CATEGORIES])
def test_every_category_passes_validation_in_every_state(
    category: str, judged_reason: Callable[[bytes], str]
) -> None:
    for state in range(6):
        spec = replace(
            MUG, fine_category=category, state=state, shape="wide", colour="pink", pattern="dotted"
        )
        content = render_image(spec, 224)
        assert len(content) < 15_000
        assert judged_reason(content) == ""
        image = measure_image(content, ImageSettings())
        assert (image.width, image.height, image.format) == (224, 224, "JPEG")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_product_has_its_colour_and_no_other(colour: str) -> None:
    shares = {other: share_of_colour(replace(MUG, colour=colour), other) for other in RGB}
    assert max(shares, key=lambda other: shares[other]) == colour
    assert shares[colour] > 0.08


def test_patterns_differ_in_how_much_white_they_show() -> None:
    def white_on_product(pattern: str) -> float:
        plain = pixels(replace(MUG, pattern="plain"))
        rendered = pixels(replace(MUG, pattern=pattern))
        product = np.abs(plain - np.array(RGB["red"])).sum(axis=2) < 110
        return float((rendered[product].min(axis=1) > 150).mean())

    shares = {pattern: white_on_product(pattern) for pattern in PATTERNS}
    assert shares["plain"] == 0
    assert all(shares[pattern] > 0.1 for pattern in ("striped", "dotted", "checked"))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.noun)
def test_the_two_categories_of_a_pair_look_different(pair: object) -> None:
    first, second = pair.names  # type: ignore[attr-defined]

    def outline(category: str) -> np.ndarray:
        image = pixels(replace(MUG, fine_category=category, colour="black"), 64)
        return image.mean(axis=2) < 170

    one, other = outline(first), outline(second)
    overlap = (one & other).sum() / (one | other).sum()
    assert overlap < 0.8


def test_damage_of_a_reviewed_product_grows_with_lower_states() -> None:
    rendered = {state: pixels(replace(MUG, state=state)) for state in range(1, 6)}
    new = rendered[5]
    damage = {state: float((np.abs(rendered[state] - new).sum(axis=2) > 60).mean()) for state in range(1, 5)}
    assert all(share > 0.01 for share in damage.values()), damage
    assert damage[4] < damage[3] < damage[1]
    assert damage[4] < damage[2] < damage[1]


def test_a_repacked_image_is_the_same_image_in_other_bytes() -> None:
    repacked = replace(MUG, flaw="repacked")
    assert render_image(repacked, 128) != render_image(MUG, 128)
    # Its quality keeps little of the grain.
    assert np.abs(pixels(repacked) - pixels(MUG)).mean() < 5


def test_the_placeholder_is_the_same_for_every_product() -> None:
    one = replace(MUG, flaw="placeholder")
    other = replace(one, fine_category="Kites", colour="blue", variation=9)
    assert render_image(one, 224) == render_image(other, 224)


def test_the_length_of_a_file_does_not_tell_the_kind_of_product() -> None:
    """A bench has more edges than a ball; the grain outweighs them."""
    lengths = [
        [len(render_image(replace(MUG, fine_category=kind, variation=number), 224)) for number in range(5)]
        for kind in RENDERERS
    ]
    assert np.std(np.mean(lengths, axis=1)) < np.mean(np.std(lengths, axis=1))
