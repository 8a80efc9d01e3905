"""Variants by their titles."""

from __future__ import annotations

from typing import Any

import pytest

from mmecinstruct.duplicates.variants import article_words, variant_edges


def product(number: int, title: str, **values: Any) -> dict[str, Any]:
    return {
        "product_id": f"{number}",
        "title": title,
        "brand": "Acme",
        "category": "Home",
        "group_id": None,
    } | values


def are_variants(one: str, other: str, **values: Any) -> bool:
    return bool(variant_edges([product(1, one, **values), product(2, other, **values)]))


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Chaz Kangeroo Hoodie-XS-Black", "chaz kangeroo hoodie S C"),
        ("Aether Gym Pant -32-Brown", "aether gym pant S C"),
        ("Trail Hoodie (L), light blue/navy", "trail hoodie S C"),
        ("Sprite Stasis Ball 55 cm", "sprite stasis ball S"),
        ("Rug 120 x 80cm, wool", "rug S M"),
        ("Set of 6 glasses, 0.3l", "S glasses S"),
        ("Kabel 1,5 m, dunkelgrün, Gr. 42", "kabel S C S"),
        ("Chemise en coton, bleu foncé, taille M", "chemise en M C foncé S"),
        ("Camisa de algodón roja talla 40", "camisa de M C S"),
        # Numbers of models, single letters and other words are no sizes.
        ("Nikon D3200 body", "nikon d3200 body"),
        ("Canon EOS M", "canon eos m"),
        ("Kite No. 851", "kite no 851"),
        ("Lens 18-55", "lens 18 55"),
        ("Men's shirt", "men s shirt"),
        ("", ""),
    ],
)
def test_properties_of_a_title_are_marked(title: str, words: str) -> None:
    assert article_words(title) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rain Jacket-XS-Moss", "Rain Jacket-XXL-Plum"),
        ("Red Enamel Camping Mug, 300 ml", "Blue Steel Camping Mug, 500 ml"),
        ("Regenjacke leicht, dunkelblau, Gr. 42", "Regenjacke leicht, rot, Gr. 38"),
        ("Yoga Strap 6 foot", "Yoga Strap 10 foot"),
        ("Camera D3200 body", "Camera D3200 body, black"),
    ],
)
def test_variants_differ_in_properties_alone(one: str, other: str) -> None:
    assert are_variants(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Camera D3200 body, black", "Camera D3300 body, black"),
        ("Hand Trowel Cream No. 111", "Hand Trowel Teal No. 37"),
        ("Drill 12 V, green", "Drill 18 V, green"),
        # One word names a kind of product, not an article.
        ("Black Shirt", "White Shirt"),
        ("Acme Black Shirt", "Acme White Shirt"),
        # A property of one alone, or of another kind, is part of a name.
        ("Urban Explorer Leather Backpack", "Urban Explorer Backpack"),
        ("Classic White Button-Down Shirt", "Classic Denim Button-Down Shirt"),
        ("Rain Jacket Moss", "Rain Trousers Moss"),
    ],
)
def test_other_products_are_no_variants(one: str, other: str) -> None:
    assert not are_variants(one, other)


def test_variants_have_one_brand_one_category_and_no_group() -> None:
    one = product(1, "Rain Jacket-S")
    for values in ({"brand": "Other"}, {"brand": None}, {"category": "Garden"}, {"group_id": "g"}):
        assert variant_edges([one, product(2, "Rain Jacket-M", **values)]) == []
    assert variant_edges([one, product(2, "Rain Jacket-M", brand="ACME", category="home")]) == [("1", "2")]


def test_without_a_brand_a_title_has_to_say_more() -> None:
    assert not are_variants("Rain Jacket-S", "Rain Jacket-M", brand=None)
    assert are_variants("Fernhollow Rain Jacket-S", "Fernhollow Rain Jacket-M", brand=None)
    assert not are_variants("Vintage Messenger Bag Leather", "Vintage Messenger Bag Canvas", brand=None)
    assert not are_variants("Classic Teal Crew Neck Tee", "Classic White Crew Neck Tee", brand=None)
