"""Split units: what joins clusters, and their names."""

from __future__ import annotations

from typing import Any

from mmecinstruct.duplicates.units import group_edges, inseparable_products, split_units


def product(product_id: str, group: str | None = None, title: str = "", *urls: str) -> dict[str, Any]:
    return {"product_id": product_id, "group_id": group, "title": title, "image_urls": list(urls)}


def test_products_of_one_title_and_image_are_inseparable() -> None:
    products = [
        product("a", None, "Gift Card", "x"),
        product("b", None, "gift card!", "y", "gone"),
        product("c", None, "Gift Card", "z"),
        product("d", None, "Another", "x"),
        product("e", None, "", "w"),
        product("f", None, "", "w"),
    ]
    pixels = {"x": "1", "y": "1", "z": "2", "w": "3"}
    assert inseparable_products(products, pixels) == [("a", "b")]


def test_a_group_has_its_products_and_the_one_that_names_it() -> None:
    products = [product("a", "g"), product("b", "p"), product("c", "g"), product("p"), product("q", "p")]
    assert sorted(group_edges(products)) == [("a", "c"), ("p", "b"), ("p", "q")]


def test_units_join_clusters_by_exact_pairs_and_ties() -> None:
    products = [product(name) for name in "abcdefg"]
    clusters = {**dict.fromkeys("ab", "a"), **dict.fromkeys("cd", "c"), **dict.fromkeys("efg", "e")}
    pairs = [
        {"product_a": "b", "product_b": "c", "kind": "exact_title"},
        {"product_a": "d", "product_b": "e", "kind": "near_title"},
    ]
    units = split_units(products, clusters, pairs, [])
    assert units == {**dict.fromkeys("abcd", "a"), **dict.fromkeys("efg", "e")}
    assert set(split_units(products, clusters, pairs, [("a", "g")]).values()) == {"a"}


def test_a_part_of_a_group_has_the_same_unit() -> None:
    """Where a recipe samples, some variants are not there."""
    products = [product("a", "z"), product("b", "z"), product("c", "y"), product("d")]
    whole = split_units(products, {name: name for name in "abcd"}, [], group_edges(products))
    assert whole == {"a": "z", "b": "z", "c": "y", "d": "d"}
    part = split_units(products[1:], {name: name for name in "bcd"}, [], group_edges(products[1:]))
    assert part == {"b": "z", "c": "y", "d": "d"}
