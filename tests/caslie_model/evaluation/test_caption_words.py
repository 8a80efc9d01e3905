"""The reader `words`: which values it finds in a caption."""

from __future__ import annotations

import pytest

from caslie_model.evaluation.caption_words import WordReader

COLOURS = ("red", "blue", "dark blue", "white", "gray")
PATTERNS = ("plain", "striped", "dotted", "checked")
SHAPES = ("tall", "wide", "regular")
KINDS = ("T-shirts", "Dress", "Watch", "Coats & Jackets", "Jersey", "Accessories")


@pytest.mark.parametrize(
    ("values", "caption", "found"),
    [
        (COLOURS, "A Red mug.", {"red"}),
        (COLOURS, "A redwood mug, bored and covered.", set()),
        (COLOURS, "Blue, with red and grey.", {"blue", "red", "gray"}),
        (COLOURS, "a dark-blue mug", {"dark blue"}),
        (COLOURS, "It is dark. Blue it is too", {"blue"}),
        (COLOURS, "a red mug on a white background", {"red"}),
        (COLOURS, "a red mug, white background", {"red"}),
        (COLOURS, "A red mug. The background is white.", {"red"}),
        (COLOURS, "A red mug before a plain white background, with blue dots", {"red", "blue"}),
        (COLOURS, "not red but blue", {"blue"}),
        (COLOURS, "", set()),
        (PATTERNS, "Its surface looks spotted.", {"dotted"}),
        (PATTERNS, "with red stripes", {"striped"}),
        (PATTERNS, "polka dots on it", {"dotted"}),
        (PATTERNS, "a solid colour, no stripes", {"plain"}),
        ((*PATTERNS, "spotted"), "Its surface looks spotted.", {"spotted"}),
        (SHAPES, "It is wider than tall.", {"wide"}),
        (SHAPES, "It is about as wide as tall.", {"regular"}),
        (SHAPES, "a tall mug", {"tall"}),
        (KINDS, "two t-shirts and a T shirt", {"T-shirts"}),
        (KINDS, "dresses, watches and jerseys", {"Dress", "Watch", "Jersey"}),
        (KINDS, "an accessory", {"Accessories"}),
        (("Color Block",), "colour blocks", {"Color Block"}),
        (("&", "red"), "red & blue", {"red"}),
        ((), "red", set()),
    ],
)
def test_values_are_found_as_whole_words(values: tuple[str, ...], caption: str, found: set[str]) -> None:
    assert WordReader(values).find(caption) == found


def test_synonyms_of_the_user_are_found_but_take_no_word_of_another_value() -> None:
    reader = WordReader(("navy", "blue"), {"navy": ("midnight blue", "blue"), "absent": ("red",)})
    assert reader.find("midnight-blue") == {"navy"}
    assert reader.find("blue and red") == {"blue"}
