from __future__ import annotations

from collections import Counter
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


def link_vouchers(shop: Any) -> None:
    """Link 20 products of one title to one mug, in either order, and 10 pairs of other titles."""
    shop.product("mug", title="Oak Mug")
    for number in range(20):
        title = ["Gift Voucher", "GIFT  voucher!"][number % 2]
        shop.product(f"voucher {number:02}", title=title, cluster_id=f"voucher {number:02}")
        ends = [f"voucher {number:02}", "mug"]
        shop.relation(*ends[:: [1, -1][number // 2 % 2]], "also_bought")
    for number in range(10):
        shop.product(f"p{number}")
        shop.relation(f"p{number}", "mug", "similar")


def test_pairs_of_equal_titles_count_once(shop: Any, samples: Any, reasons: Any) -> None:
    link_vouchers(shop)
    output = shop.build(TASK)
    assert (output.records_in, output.samples.num_rows) == (30, 11)
    assert Counter(reasons(output).values()) == {"repeated_titles": 19}
    (kept,) = (one for one in samples(output) if one["label"] == "A")
    (name,) = (one for one in kept["product_ids"] if one != "mug")
    assert set(output.rejections["detail"].to_pylist()) == {f"the titles and relation of mug {name}"}
    assert shop.build(TASK, reverse=True) == output
    chosen = {
        one["product_ids"][0] + one["product_ids"][1]
        for seed in range(12)
        for one in samples(shop.build(TASK, seed=seed))
        if one["label"] == "A"
    }
    assert len(chosen) > 4, "a hash draw decides which one"


def test_a_recipe_may_keep_more_pairs_of_equal_titles(shop: Any, samples: Any) -> None:
    link_vouchers(shop)
    kept = [{one["id"] for one in samples(shop.build(TASK, max_per_titles=most))} for most in (1, 3, 50)]
    assert [len(one) for one in kept] == [11, 13, 30]
    assert kept[0] < kept[1] < kept[2]


def test_another_relation_of_equal_titles_counts_for_itself(shop: Any, reasons: Any) -> None:
    link_vouchers(shop)
    shop.product("voucher 99", title="Gift voucher")
    shop.relation("voucher 99", "mug", "also_viewed")
    output = shop.build(TASK)
    assert output.samples.num_rows == 12
    assert Counter(reasons(output).values()) == {"repeated_titles": 19}


def test_rejected_pairs_take_no_place_of_equal_titles(shop: Any, samples: Any) -> None:
    shop.product("mug", title="Oak Mug")
    for number in range(6):
        shop.product(f"v{number}", title="Voucher")
        shop.relation(f"v{number}", "mug", "similar")
        if number:
            shop.relation(f"v{number}", "mug", "also_bought")
    (sample,) = samples(shop.build(TASK))
    assert set(sample["product_ids"]) == {"v0", "mug"}
