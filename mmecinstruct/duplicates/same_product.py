"""Decide from titles, images and attributes whether two records are the same product.

With the same or a near image a lower similarity of titles suffices. Equal titles with clearly different images are
variants. A contradiction (brand, colour, or a number in the title such as a size or a capacity) always makes two
products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmecinstruct.text.words import normalised_text

SAME_ITEM = "same_item"
IDENTICAL_BYTES, IDENTICAL_PIXELS, NEAR_IMAGE = "identical_bytes", "identical_pixels", "near_image"
MIRRORED_IMAGE, EDITED_IMAGE = "mirrored_image", "edited_image"
EXACT_TITLE, NEAR_TITLE = "exact_title", "near_title"

# Rank of each kind of pair: weaker kinds are dropped first.
RANK = {
    SAME_ITEM: 6,
    EXACT_TITLE: 5,
    IDENTICAL_BYTES: 4,
    IDENTICAL_PIXELS: 3,
    NEAR_TITLE: 2,
    NEAR_IMAGE: 1,
    MIRRORED_IMAGE: 0,
    EDITED_IMAGE: -1,
}


def is_same_product(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    title_similarity: float,
    images_agree: bool,
    both_have_images: bool,
    min_similarity: float,
) -> bool:
    """Return whether two records with similar titles or images are the same product.

    Args:
        one: A row with title, brand and color.
        other: A row with title, brand and color.
        title_similarity: Jaccard similarity of the titles' words, 0 to 1.
        images_agree: The records have an image in common, or two near images.
        both_have_images: Each record has an image.
        min_similarity: Least similarity of titles where images agree.
    """
    if contradictions(one, other):
        return False
    if images_agree:
        return title_similarity >= min_similarity
    if both_have_images:
        # Variants with different images.
        return False
    brand = normalised_text(one["brand"] or "")
    return brand != "" and brand == normalised_text(other["brand"] or "") and _equal_titles(one, other)


def contradictions(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return which of brand, color and the numbers in the title contradict each other."""
    found = []
    for name in ("brand", "color"):
        values = normalised_text(one[name] or ""), normalised_text(other[name] or "")
        if all(values) and values[0] != values[1]:
            found.append(name)
    if _numbers(one["title"]) != _numbers(other["title"]):
        found.append("numbers")
    return found


def _numbers(title: str | None) -> set[str]:
    """Return the words of a title that hold a digit: sizes, capacities, model numbers."""
    return {
        word
        for word in normalised_text(title or "").split()
        if any(character.isdigit() for character in word)
    }


def _equal_titles(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    title = normalised_text(one["title"] or "")
    return title != "" and title == normalised_text(other["title"] or "")
