from __future__ import annotations

from typing import Any

import pytest

TASK = "product_relation_prediction"


@pytest.mark.parametrize(
    ("relation", "letter"), [("also_bought", "A"), ("also_viewed", "B"), ("similar", "C")]
)
def test_a_relation_becomes_a_letter(shop: Any, samples: Any, relation: str, letter: str) -> None:
    shop.product("a", title="Kettle", category="Home")
    shop.product("b", title="Teapot", category="Garden")
    shop.relation("a", "b", relation)
    (sample,) = samples(shop.build(TASK))
    assert (sample["output"], sample["label"], sample["options"]) == (letter, letter, [])
    titles, categories = {"a": "Kettle", "b": "Teapot"}, {"a": "Home", "b": "Garden"}
    first, second = sample["product_ids"]
    assert {first, second} == {"a", "b"}
    assert sample["fields"] == {"product 1": titles[first], "product 2": titles[second]}
    assert sample["category"] == categories[first]
    assert sample["images"] == [
        {"role": "product 1", "product_id": first, "image_urls": [f"{first}.jpg"]},
        {"role": "product 2", "product_id": second, "image_urls": [f"{second}.jpg"]},
    ]


def test_pairs_have_no_direction(shop: Any) -> None:
    for product in ("a", "b", "c"):
        shop.product(product)
    shop.relation("a", "b", "similar")
    forward = shop.build(TASK)
    shop.rows["relations"] = []
    shop.relation("b", "a", "similar")
    assert shop.build(TASK) == forward
    shop.relation("a", "b", "similar")
    shop.relation("b", "a", "similar")
    assert shop.build(TASK) == forward


def test_a_hash_draw_decides_which_product_comes_first(shop: Any, samples: Any) -> None:
    for number in range(101):
        shop.product(f"p{number:03}")
        if number:
            shop.relation(f"p{number - 1:03}", f"p{number:03}", "similar")
    swapped = [one["product_ids"] != sorted(one["product_ids"]) for one in samples(shop.build(TASK))]
    assert 30 < sum(swapped) < 70
    again = [one["product_ids"] != sorted(one["product_ids"]) for one in samples(shop.build(TASK, seed=1))]
    assert again != swapped


def test_pairs_without_a_single_right_answer_are_rejected(shop: Any, reasons: Any) -> None:
    for product in ("a", "b", "c", "d"):
        shop.product(product)
    shop.product("twin 1", cluster_id="twin 1")
    shop.product("twin 2", cluster_id="twin 1")
    shop.product("x", title="Red mug, 12 oz")
    shop.product("y", title="red  MUG 12 oz.")
    shop.relation("a", "a", "similar")
    shop.relation("a", "gone", "also_bought")
    shop.relation("a", "b", "also_bought")
    shop.relation("b", "a", "also_viewed")
    shop.relation("twin 2", "twin 1", "similar")
    shop.relation("x", "y", "similar")
    shop.relation("a", "c", "bundled")
    shop.relation("a", "d", "also_viewed")
    output = shop.build(TASK)
    assert (output.records_in, output.samples.num_rows) == (7, 1)
    assert reasons(output) == {
        "a a": "same_product",
        "a gone": "unknown_product",
        "a b": "several_relations",
        "twin 1 twin 2": "same_cluster",
        "x y": "same_title",
        "a c": "unknown_relation",
    }
    details = dict(zip(*(output.rejections[name].to_pylist() for name in ("reason", "detail")), strict=True))
    assert details["unknown_product"] == "gone unknown"
    assert details["several_relations"] == "also_bought and also_viewed"


def test_row_order_and_new_rows_change_no_other_sample(shop: Any, samples: Any) -> None:
    for number in range(20):
        shop.product(f"p{number}")
        shop.relation(f"p{number}", f"p{(number * 7 + 1) % 20}", ["similar", "also_bought"][number % 2])
    before = shop.build(TASK)
    assert shop.build(TASK, reverse=True) == before
    shop.product("new")
    shop.relation("new", "p3", "also_viewed")
    after = samples(shop.build(TASK))
    assert len(after) == before.samples.num_rows + 1
    assert all(sample in after for sample in samples(before))
