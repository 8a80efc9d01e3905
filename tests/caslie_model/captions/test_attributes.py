"""What is measured in rendered images whose attributes are known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from caslie_model.captions.attributes import measure
from caslie_model.captions.colours import colour_shares, to_lab
from tests.caslie_model.captions.conftest import thing

COLOURS = {
    "red": (200, 35, 40),
    "orange": (240, 130, 30),
    "yellow": (240, 205, 50),
    "green": (40, 150, 60),
    "blue": (40, 90, 200),
    "purple": (120, 55, 160),
    "pink": (235, 125, 175),
    "brown": (115, 72, 45),
    "grey": (125, 125, 125),
    "black": (20, 20, 22),
}


@pytest.mark.parametrize("name", COLOURS)
def test_a_field_of_one_colour_has_its_name(name: str) -> None:
    seen = measure(Image.new("RGB", (50, 30), COLOURS[name]))
    assert seen.colours[0] == (name, pytest.approx(1.0))
    assert seen.background is None
    assert next(iter(seen.colour_sentences())) == f"The whole image is mostly {name}."


@pytest.mark.parametrize("name", COLOURS)
def test_a_thing_before_a_background_has_its_colour(name: str) -> None:
    seen = measure(thing(COLOURS[name]))
    assert seen.colours[0][0] == name
    assert (seen.background, seen.surface) == (("white",), "plain")
    assert seen.share == pytest.approx(60 * 60 / 128**2, rel=0.02)


def test_shades_of_a_colour_keep_its_name_in_nine_of_ten() -> None:
    right: Counter[str] = Counter()
    shades = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]
    for name, colour in COLOURS.items():
        for shade in shades:
            lab = to_lab(np.array([[min(255, part * shade) for part in colour]]))
            right[name] += colour_shares(lab)[0][0] == name
    assert right.total() >= 0.9 * len(COLOURS) * len(shades), right


@pytest.mark.parametrize("name", ["red", "green", "blue", "purple", "pink", "orange"])
@pytest.mark.parametrize("pattern", ["plain", "striped", "spotted"])
def test_stripes_and_spots_are_told_apart(name: str, pattern: str) -> None:
    seen = measure(thing(COLOURS[name], pattern))
    assert (seen.surface, seen.colours[0][0]) == (pattern, name)


@pytest.mark.parametrize(
    ("size", "form"), [((90, 40), "wider than tall"), ((40, 90), "taller than wide"), ((60, 60), "about as")]
)
def test_the_form_is_that_of_the_thing(size: tuple[int, int], form: str) -> None:
    assert measure(thing(COLOURS["blue"], size=size)).form.startswith(form)


def test_white_inside_a_thing_is_no_background() -> None:
    image = thing(COLOURS["blue"], size=(80, 80))
    image.paste((244, 244, 246), (50, 50, 78, 78))
    assert measure(image).share == pytest.approx(80 * 80 / 128**2, rel=0.02)


def test_a_wall_and_a_table_are_one_background() -> None:
    image = thing(COLOURS["green"], size=(50, 70))
    image.paste((150, 100, 70), (0, 80, 39, 128))
    image.paste((150, 100, 70), (89, 80, 128, 128))
    image.paste((150, 100, 70), (0, 99, 128, 128))
    seen = measure(image)
    assert (seen.background, seen.colours[0][0]) == (("white", "brown"), "green")
    assert seen.share == pytest.approx(50 * 70 / 128**2, rel=0.02)
    assert next(iter(seen.form_sentences())).endswith("before a background of white and brown.")


def test_what_reaches_the_frame_is_no_background() -> None:
    image = Image.new("RGB", (128, 128), (250, 250, 250))
    image.paste(COLOURS["blue"], (30, 20, 98, 128))
    seen = measure(image)
    assert (seen.background, seen.colours[0]) == (("white",), ("blue", pytest.approx(1.0)))


def test_the_skin_of_a_person_whom_the_frame_cuts_off_is_not_counted() -> None:
    image = Image.new("RGB", (128, 128), (250, 250, 250))
    image.paste((190, 140, 115), (40, 20, 88, 110))
    image.paste((190, 140, 115), (58, 110, 70, 128))
    image.paste(COLOURS["purple"], (34, 40, 94, 80))
    seen = measure(image)
    assert [name for name, _ in seen.colours] == ["purple"]
    assert list(seen.colour_sentences()) == [
        "The thing is mostly purple.",
        "Colours like skin are left out.",
    ]


def test_a_brown_thing_is_not_taken_for_skin() -> None:
    seen = measure(thing((150, 100, 70)))
    assert (seen.colours[0][0], seen.has_skin) == ("brown", False)


def test_folds_are_no_pattern() -> None:
    image = thing(COLOURS["blue"], size=(90, 90))
    draw = ImageDraw.Draw(image)
    for place in range(5):
        draw.line((25 + 15 * place, 30, 35 + 15 * place, 36 + 9 * place), fill=(90, 95, 110), width=5)
    assert measure(image).surface == "plain"


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (2000, 10)])
def test_any_size_of_image_has_attributes(size: tuple[int, int]) -> None:
    assert measure(Image.new("RGB", size, (200, 35, 40))).colours[0][0] == "red"
