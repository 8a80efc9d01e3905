"""Whether two product records are the same product, from titles, images and attributes together.

An image says more than a title and a title more than an image: under the same or a near image a lower similarity of
titles suffices; equal titles under clearly different images are variants. What both records state and state
differently (brand, colour, a number in the title such as a size or a capacity) makes them two products in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmecinstruct.duplicates.titles import normalised_text

SAME_ITEM = "same_item"
IDENTICAL_BYTES, IDENTICAL_PIXELS, NEAR_IMAGE = "identical_bytes", "identical_pixels", "near_image"
EXACT_TITLE, NEAR_TITLE = "exact_title", "near_title"

# How much a kind of pair says, for letting the weakest go: the whole number ranks kinds, the fraction pairs of a kind.
RANK = {
    SAME_ITEM: 6,
    EXACT_TITLE: 5,
    IDENTICAL_BYTES: 4,
    IDENTICAL_PIXELS: 3,
    NEAR_TITLE: 2,
    NEAR_IMAGE: 1,
}


def is_same_product(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    title_similarity: float,
    images_agree: bool,
    both_have_images: bool,
    min_similarity: float,
) -> bool:
    """Return whether two records with similar titles or images name one product.

    one, other: rows with title, brand and color. title_similarity: Jaccard of the titles' words. images_agree: a
    image of one is that of the other, or near. min_similarity: of titles, where images agree.
    """
    if contradictions(one, other):
        return False
    if images_agree:
        return title_similarity >= min_similarity
    if both_have_images:
        return False  # variants: they look different
    brand = normalised_text(one["brand"] or "")
    return brand != "" and brand == normalised_text(other["brand"] or "") and _equal_titles(one, other)


def contradictions(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return which of brand, color and numbers in the title both records state, and differently."""
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
    return {word for word in normalised_text(title or "").split() if any(sign.isdigit() for sign in word)}


def _equal_titles(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    title = normalised_text(one["title"] or "")
    return title != "" and title == normalised_text(other["title"] or "")
