"""Which records are the same product."""

from __future__ import annotations

import pytest

from mmecinstruct.duplicates.same_product import contradictions, is_same_product


def record(title: str, brand: str | None = None, color: str | None = None) -> dict[str, str | None]:
    return {"title": title, "brand": brand, "color": color}


def same(one, other, similarity, images_agree=False, both_have_images=False):
    return is_same_product(one, other, similarity, images_agree, both_have_images, min_similarity=0.6)


def test_a_shared_image_needs_less_similar_titles() -> None:
    one, other = record("Red enamel mug"), record("Enamel mug red camping")
    assert same(one, other, 0.75, images_agree=True, both_have_images=True)
    assert not same(one, other, 0.5, images_agree=True, both_have_images=True)


def test_equal_titles_under_different_images_are_variants() -> None:
    assert not same(record("Enamel mug", "A"), record("Enamel mug", "A"), 1.0, both_have_images=True)


def test_equal_titles_of_one_brand_without_images_are_the_same() -> None:
    assert same(record("Enamel Mug", "Acme"), record("enamel mug!", "ACME"), 1.0)
    assert not same(record("Gift card"), record("Gift card"), 1.0)  # no brand says whose
    assert not same(record("Enamel mug blue", "Acme"), record("Enamel mug", "Acme"), 0.67)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (record("Mug", "Acme"), record("Mug", "Other"), ["brand"]),
        (record("Mug", None, "red"), record("Mug", None, "blue"), ["color"]),
        (record("Phone 64GB"), record("Phone 128GB"), ["numbers"]),
        (record("Tin, pack of 2"), record("Tin, pack"), ["numbers"]),
        (record("Mug", "Acme", "Red"), record("Mug", "ACME", "red"), []),
        (record("Mug", "Acme"), record("Mug"), []),
    ],
)
def test_a_contradiction_makes_two_products(one, other, what) -> None:
    assert contradictions(one, other) == what
    assert same(one, other, 1.0, images_agree=True, both_have_images=True) == (not what)
