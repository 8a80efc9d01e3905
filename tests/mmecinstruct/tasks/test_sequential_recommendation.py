from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

TASK = "sequential_recommendation"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Most of these shops hold products that nobody bought: any may be a negative.
SMALL: dict[str, Any] = {"k_core": 1, "min_history": 2, "candidates": 4, "negatives": "metadata"}
WAYS = ("popularity", "uniform", "category", "hard", "metadata")


def fill(shop: Any, products: int = 12, category: str = "Home", fine: int = 2) -> list[str]:
    """Add products of one top-level category in `fine` fine ones; return their ids."""
    ids = [f"{category} {number:02}" for number in range(products)]
    for number, product in enumerate(ids):
        shop.product(product, category=category, category_path=[category, f"{category} {number % fine}"])
    return ids


def buy(shop: Any, user: str | None, products: list[str], start: int = 100) -> None:
    for position, product in enumerate(products):
        shop.review(f"{user}/{product}", product, user, timestamp=start + position, text=None)


def test_a_users_purchases_become_a_sample(shop: Any, samples: Any) -> None:
    ids = fill(shop)
    buy(shop, "u", ids[:4])
    (sample,) = samples(shop.build(TASK, **SMALL))
    assert sample["fields"] == [f"Title of {one}" for one in ids[:3]]
    answer = LETTERS.index(sample["output"])
    assert sample["options"][answer] == f"Title of {ids[3]}"
    assert sample["label"] == sample["output"]
    assert len(set(sample["options"])) == 4
    assert (sample["category"], sample["source"], sample["user_id"]) == ("Home", "shop", "u")
    assert sample["record_ids"] == [f"u/{one}" for one in ids[:4]]
    assert sample["product_ids"][:4] == ids[:4]
    negatives = [one for position, one in enumerate(sample["options"]) if position != answer]
    assert [f"Title of {one}" for one in sample["product_ids"][4:]] == negatives
    assert [one["role"] for one in sample["images"]] == [
        "history 1",
        "history 2",
        "history 3",
        "option A",
        "option B",
        "option C",
        "option D",
    ]
    shown = sample["fields"] + sample["options"]
    for image, text in zip(sample["images"], shown, strict=True):
        assert f"Title of {image['product_id']}" == text
        assert image["image_urls"] == [f"{image['product_id']}.jpg"]


def test_items_name_the_brand_that_the_title_lacks(shop: Any, samples: Any) -> None:
    shop.product("a", title="Acme kettle", brand="ACME", category_path=["Home", "Kettles"])
    shop.product("b", title="Teapot", brand="Acme", category_path=["Home", "Kettles"])
    shop.product("c", title="Jug", brand=" ", category_path=["Home", "Kettles"])
    shop.product("d", title='Bowl {{ x }} "wide"\\', category_path=["Home", "Kettles"])
    buy(shop, "u", ["a", "b", "c"])
    (sample,) = samples(shop.build(TASK, k_core=1, min_history=2, candidates=2, negatives="metadata"))
    assert sample["fields"] == ["Acme kettle", "Teapot (Acme)"]
    assert sorted(sample["options"]) == ['Bowl {{ x }} "wide"\\', "Jug"]


def test_the_history_is_the_most_recent_part_oldest_first(shop: Any, samples: Any) -> None:
    ids = fill(shop, 20)
    buy(shop, "u", ids[:12])
    (sample,) = samples(shop.build(TASK, **SMALL, max_history=5))
    assert sample["product_ids"][:6] == ids[6:12]
    assert len(sample["fields"]) == 5


def test_ties_in_time_are_ordered_by_product(shop: Any, samples: Any) -> None:
    ids = fill(shop)
    for product in (ids[2], ids[0], ids[3], ids[1]):
        shop.review(f"r {product}", product, "u", timestamp=7)
    (sample,) = samples(shop.build(TASK, **SMALL))
    assert sample["product_ids"][:4] == ids[:4]


def test_the_first_review_of_a_product_counts(shop: Any, samples: Any) -> None:
    ids = fill(shop)
    buy(shop, "u", ids[:4])
    shop.review("later", ids[0], "u", timestamp=1000)
    shop.review("aa same time", ids[1], "u", timestamp=101)
    (sample,) = samples(shop.build(TASK, **SMALL))
    assert sample["product_ids"][:4] == ids[:4]
    assert sample["record_ids"] == [f"u/{ids[0]}", "aa same time", f"u/{ids[2]}", f"u/{ids[3]}"]


def test_a_sequence_stays_within_one_top_level_category(shop: Any, samples: Any) -> None:
    home, garden = fill(shop), fill(shop, category="Garden")
    mixed = [one for pair in zip(home[:4], garden[:4], strict=True) for one in pair]
    buy(shop, "u", mixed)
    output = shop.build(TASK, **SMALL)
    by_category = {one["category"]: one for one in samples(output)}
    assert output.records_in == 2
    assert by_category["Home"]["product_ids"][:4] == home[:4]
    assert by_category["Garden"]["product_ids"][:4] == garden[:4]
    for category, sample in by_category.items():
        assert all(one.startswith(category) for one in sample["product_ids"])
        assert sample["user_id"] == "u"


@pytest.mark.parametrize("negatives", WAYS)
def test_no_candidate_was_ever_bought_by_the_user(shop: Any, samples: Any, negatives: str) -> None:
    ids = fill(shop, 40)
    for user in range(30):
        buy(shop, f"u{user}", [ids[(user * 3 + step * 7) % 40] for step in range(12)])
    bought = {(one["user_id"], one["product_id"]) for one in shop.rows["reviews"]}
    built = samples(
        shop.build(TASK, k_core=1, min_history=2, candidates=20, max_history=3, negatives=negatives)
    )
    assert len(built) == 30
    for sample in built:
        history, target, negative = (
            sample["product_ids"][:3],
            sample["product_ids"][3],
            sample["product_ids"][4:],
        )
        assert len(set(negative)) == 19
        assert not {target, *history} & set(negative)
        assert not [one for one in negative if (sample["user_id"], one) in bought]
        assert sample["options"][LETTERS.index(sample["output"])] == f"Title of {target}"


def test_products_outside_the_core_count_as_bought(shop: Any, samples: Any) -> None:
    ids = fill(shop, 8)
    for user in ("u", "v"):
        buy(shop, user, ids[:4])
    buy(shop, "u", ids[4:6], start=0)  # bought by one user only: not in the 2-core
    built = samples(shop.build(TASK, k_core=2, min_history=3, candidates=3, negatives="metadata"))
    assert {one["user_id"]: set(one["product_ids"]) - set(ids[:4]) for one in built}["u"] == set(ids[6:])
    assert len(built) == 2


def test_near_duplicates_and_equal_titles_are_no_candidates(shop: Any, samples: Any, reasons: Any) -> None:
    for number in range(3):
        shop.product(f"bought {number}", cluster_id=f"bought {number}", split_unit=f"bought {number}")
    shop.product("copy of the target", cluster_id="bought 2", split_unit="bought 2")
    shop.product("target's title", title="TITLE of bought 2!")
    shop.product("other source's record of the history", split_unit="bought 0")
    shop.product("history's title", title="title of bought 1")
    shop.product("variant of the history", split_unit="bought 1")
    shop.product("x", title="Plain mug")
    shop.product("y", title="plain, mug")
    shop.product("z", title="Bowl")
    buy(shop, "u", ["bought 0", "bought 1", "bought 2"])
    (sample,) = samples(shop.build(TASK, **SMALL | {"candidates": 3}))
    negatives = set(sample["product_ids"][3:])
    assert negatives in ({"x", "z"}, {"y", "z"})
    output = shop.build(TASK, **SMALL | {"candidates": 4})
    assert reasons(output) == {"u Home": "too_few_candidates"}
    assert output.rejections["detail"].to_pylist() == ["3 of 4 candidates"]


def test_texts_that_differ_in_title_and_brand_only_are_one_candidate(shop: Any, samples: Any) -> None:
    for number in range(3):
        shop.product(f"bought {number}")
    shop.product("x", title="Mug (Acme)")
    shop.product("y", title="Mug", brand="Acme")
    shop.product("z", title="Bowl")
    buy(shop, "u", ["bought 0", "bought 1", "bought 2"])
    (sample,) = samples(shop.build(TASK, **SMALL | {"candidates": 3}))
    assert len(set(sample["options"])) == 3


def test_the_core_is_filtered_until_nothing_changes(shop: Any, samples: Any, reasons: Any) -> None:
    ids = fill(shop, 10)
    for user in ("a", "b", "c"):
        buy(shop, user, ids[:3])
    # d has three items, but one of them is only e's and d's; e falls, then that item, then d.
    buy(shop, "d", [ids[0], ids[1], ids[5]])
    buy(shop, "e", [ids[5], ids[6]])
    buy(shop, "f", [ids[5], ids[0], ids[1]])
    output = shop.build(TASK, k_core=3, min_history=2, candidates=3, negatives="metadata")
    assert sorted(one["user_id"] for one in samples(output)) == ["a", "b", "c"]
    assert reasons(output) == {"d Home": "k_core", "e Home": "k_core", "f Home": "k_core"}
    assert output.records_in == 6


def test_records_without_a_sequence_are_rejected(shop: Any, samples: Any, reasons: Any) -> None:
    ids = fill(shop)
    shop.product("stray", category=None)
    buy(shop, "good", ids[:3])
    buy(shop, "short", ids[:2])
    buy(shop, "lost", ["gone 1", "gone 2"])
    buy(shop, "stray buyer", ["stray"])
    buy(shop, None, ids[:5])
    buy(shop, "timeless", ids[:4])
    shop.rows["reviews"][-1]["timestamp"] = None
    buy(shop, "good", ["gone 1"])
    output = shop.build(TASK, **SMALL)
    assert (output.records_in, output.samples.num_rows) == (7, 1)
    assert reasons(output) == {
        "short Home": "too_few_items",
        "lost": "unknown_product",
        "good": "unknown_product",
        "stray buyer": "no_category",
        "Home": "no_user",
        "timeless Home": "no_timestamp",
    }


def test_the_answers_position_is_a_hash_draw(shop: Any, samples: Any) -> None:
    ids = fill(shop, 30)
    for user in range(200):
        buy(shop, f"u{user:03}", [ids[(user + step) % 30] for step in range(3)])
    letters = Counter(one["output"] for one in samples(shop.build(TASK, **SMALL)))
    assert set(letters) == set("ABCD")
    assert max(letters.values()) < 80  # 50 expected of 200


def test_negatives_depend_on_sample_and_seed(shop: Any, samples: Any) -> None:
    ids = fill(shop, 40)
    for user in range(20):
        buy(shop, f"u{user}", ids[:3])
    first = [tuple(one["product_ids"][3:]) for one in samples(shop.build(TASK, **SMALL))]
    assert len(set(first)) > 15
    assert [tuple(one["product_ids"][3:]) for one in samples(shop.build(TASK, **SMALL, seed=1))] != first


def test_row_order_changes_nothing(shop: Any) -> None:
    ids = fill(shop, 30)
    for user in range(12):
        buy(shop, f"u{user}", [ids[(user * 5 + step * 3) % 30] for step in range(6)])
    settings = {"k_core": 2, "min_history": 2, "candidates": 10}
    for negatives in WAYS:
        before = shop.build(TASK, **settings, negatives=negatives)
        assert before.samples.num_rows == 12
        assert shop.build(TASK, reverse=True, **settings, negatives=negatives) == before


def test_a_new_user_changes_no_other_sample(shop: Any, samples: Any) -> None:
    ids = fill(shop, 30)
    for user in range(12):
        buy(shop, f"u{user}", [ids[(user * 5 + step * 3) % 30] for step in range(6)])
    before = samples(shop.build(TASK, **SMALL))
    buy(shop, "new", ids[4:9])
    after = samples(shop.build(TASK, **SMALL))
    assert len(after) == 13
    assert all(sample in after for sample in before)


def test_a_new_product_changes_only_samples_that_choose_it(shop: Any, samples: Any) -> None:
    ids = fill(shop, 30)
    for user in range(12):
        buy(shop, f"u{user}", [ids[(user * 5 + step * 3) % 30] for step in range(6)])
    before = {one["id"]: one for one in samples(shop.build(TASK, **SMALL))}
    shop.product("A new one")
    for sample in samples(shop.build(TASK, **SMALL)):
        assert sample == before[sample["id"]] or "A new one" in sample["product_ids"]


def test_a_given_core_replaces_that_of_the_reviews(shop: Any, samples: Any, reasons: Any) -> None:
    ids = fill(shop, 20)
    buy(shop, "u", ids[:5])
    buy(shop, "v", ids[5:9])
    # Alone, neither user would be in a 2-core: others bought the same products in the tables that these are a part of.
    assert set(reasons(shop.build(TASK, **SMALL | {"k_core": 2})).values()) == {"k_core"}
    core = [("u", product) for product in (ids[0], ids[2], ids[3], ids[4])]
    asked = [("u", "Home"), ("v", "Home")]
    output = shop.build(TASK, **SMALL | {"k_core": 2}, core=core, sampled_records=asked)
    (sample,) = samples(output)
    assert sample["product_ids"][:4] == [ids[0], ids[2], ids[3], ids[4]]
    assert ids[1] not in sample["product_ids"]  # it is not in the core, but bought
    assert reasons(output) == {"v Home": "k_core"}


def test_only_the_sampled_category_of_a_sampled_user_is_asked(shop: Any, samples: Any) -> None:
    home, garden = fill(shop, 12), fill(shop, 12, category="Garden")
    buy(shop, "u", home[:4])
    buy(shop, "u", garden[:4])
    buy(shop, "v", home[:4])
    core = [(row["user_id"], row["product_id"]) for row in shop.rows["reviews"]]
    output = shop.build(TASK, **SMALL, core=core, sampled_records=[("u", "Garden")])
    (sample,) = samples(output)
    assert (output.records_in, sample["user_id"], sample["category"]) == (1, "u", "Garden")
