from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from mmecinstruct.core.duckdb import connect
from mmecinstruct.recipe import load_recipe
from mmecinstruct.schemas.tables import CURATED_PRODUCTS
from mmecinstruct.tasks.categories import place_products
from mmecinstruct.tasks.category_classification import CategoryClassificationSettings

TASK = "category_classification"
OUTSIDE = ("Top 4", "Top 5")


def fill(shop: Any, tops: int = 4, leaves: int = 6, products: int = 2) -> None:
    """Add products under `Top i > Leaf i.j`."""
    for top in range(tops):
        for leaf in range(leaves):
            for number in range(products):
                path = [f"Top {top}", f"Leaf {top}.{leaf}"]
                shop.product(f"p{top}.{leaf}.{number}", category=path[0], category_path=path)


def fill_skewed(shop: Any, tops: int = 6, leaves: int = 20, most: int = 60) -> None:
    """Add products as `fill` does; the category of rank r of its top level has most / r of them."""
    for top in range(tops):
        for leaf in range(leaves):
            for number in range(max(1, most // (leaf + 1))):
                path = [f"Top {top}", f"Leaf {top}.{leaf}"]
                shop.product(f"p{top}.{leaf}.{number}", category=path[0], category_path=path)


def guessed(built: list[dict[str, Any]], sign: int, *, ood: bool = False) -> float:
    """Return how often the option that is the answer most often (sign 1) or least often (-1) is right.

    Answers of in-domain samples are counted, those of out-of-domain samples are unknown. Ties count in parts.
    """
    counts = Counter(sample["label"] for sample in built if sample["category"] not in OUTSIDE or not ood)
    right = []
    for sample in built:
        if ood and sample["category"] not in OUTSIDE:
            continue
        scores = [sign * counts[option] for option in sample["options"]]
        best = max(scores)
        right.append((sign * counts[sample["label"]] == best) / scores.count(best))
    return sum(right) / len(right)


def test_a_product_becomes_a_question_about_its_category(shop: Any, samples: Any) -> None:
    fill(shop)
    built = samples(shop.build(TASK))
    assert len(built) == 48
    for sample in built:
        (product,) = sample["product_ids"]
        assert sample["fields"] == {"title": f"Title of {product}"}
        assert sample["label"] == f"Leaf {product[1:4]}"
        assert sample["category"] == f"Top {product[1]}"
        assert sample["options"]["ABCDEFGHIJ".index(sample["output"])] == sample["label"]
        assert len(sample["options"]) == len(set(sample["options"])) == 10
        assert sample["images"] == [
            {"role": "product", "product_id": product, "image_urls": [f"{product}.jpg"]}
        ]
        assert sample["user_id"] is None
        assert sample["query_id"] is None


def test_half_of_the_options_are_siblings(shop: Any, samples: Any) -> None:
    fill(shop)
    for options, siblings in ((10, 5), (6, 3), (2, 1)):
        for sample in samples(shop.build(TASK, options=options)):
            top = sample["label"][:6]
            near = [one for one in sample["options"] if one.startswith(top) and one != sample["label"]]
            assert len(near) == siblings
            assert len(sample["options"]) == options


def test_few_siblings_are_all_taken_and_others_fill(shop: Any, samples: Any) -> None:
    fill(shop, tops=8, leaves=2)
    for sample in samples(shop.build(TASK)):
        near = [one for one in sample["options"] if one.startswith(sample["label"][:6])]
        assert len(near) == 2
        assert len(sample["options"]) == 10


def test_siblings_fill_where_nothing_else_is_there(shop: Any, samples: Any) -> None:
    fill(shop, tops=1, leaves=12)
    shop.product("other", category="Top 9", category_path=["Top 9", "Leaf 9.0"])
    for sample in samples(shop.build(TASK)):
        assert len(set(sample["options"])) == 10
        assert "Leaf 9.0" in sample["options"]


def test_siblings_of_the_parent_come_before_those_of_the_top_level(shop: Any, samples: Any) -> None:
    for parent in ("Cups", "Pans"):
        for leaf in range(4):
            name = f"{parent} {leaf}"
            shop.product(name, category="Home", category_path=["Home", parent, name])
    fill(shop, tops=2)
    home = [one for one in samples(shop.build(TASK, options=6)) if one["category"] == "Home"]
    assert len(home) == 8
    for sample in home:
        assert sum(one.startswith(sample["label"][:4]) for one in sample["options"]) == 4
        assert sum(one.startswith("Leaf") for one in sample["options"]) == 2


def test_fewer_categories_than_options(shop: Any, samples: Any) -> None:
    fill(shop, tops=2, leaves=1)
    for sample in samples(shop.build(TASK)):
        assert sorted(sample["options"]) == ["Leaf 0.0", "Leaf 1.0"]


def test_the_order_is_a_hash_draw(shop: Any, samples: Any) -> None:
    fill(shop, products=10)
    letters = Counter(sample["output"] for sample in samples(shop.build(TASK)))
    assert set(letters) == set("ABCDEFGHIJ")
    assert max(letters.values()) < 50  # 24 expected of 240
    assert [one["output"] for one in samples(shop.build(TASK, seed=1))] != [
        one["output"] for one in samples(shop.build(TASK))
    ]


def test_products_without_a_category_are_rejected(shop: Any, reasons: Any) -> None:
    fill(shop, tops=1, leaves=2, products=1)
    shop.product("none", category_path=[], category=None)
    shop.product("null", category_path=None, fine_category=None)
    shop.product("no top", category=None, category_path=["Somewhere"])
    shop.product("labelled", category="Top 0", category_path=None, fine_category="Leaf 0.0")
    output = shop.build(TASK)
    assert (output.records_in, output.samples.num_rows) == (6, 3)
    assert reasons(output) == {
        "none": "no_fine_category",
        "null": "no_fine_category",
        "no top": "no_category",
    }


def test_a_record_with_a_category_is_kept_over_one_without(shop: Any, samples: Any, reasons: Any) -> None:
    fill(shop)
    title = {"title": "The same title", "cluster_id": "abo:1"}
    shop.product("abo:1", **title, category="", category_path=[])
    shop.product("amazon:1", **title, category="Top 1", category_path=["Top 1", "Leaf 1.1"])
    shop.product("esci:1", **title, category="Top 1", category_path=["Top 1", "Leaf 1.1"])
    shop.product("unfiled", category="", fine_category="Leaf 1.1", category_path=[])
    output = shop.build(TASK)
    asked = {sample["product_ids"][0] for sample in samples(output)}
    assert {"abo:1", "amazon:1", "esci:1", "unfiled"} & asked == {"amazon:1"}
    assert reasons(output) == {
        "abo:1": "duplicate_in_cluster",
        "esci:1": "duplicate_in_cluster",
        "unfiled": "no_category",
    }


def test_a_single_category_is_no_question(shop: Any, reasons: Any) -> None:
    shop.product("a")
    shop.product("b")
    output = shop.build(TASK)
    assert reasons(output) == {"a": "too_few_categories", "b": "too_few_categories"}
    assert (output.records_in, output.samples.num_rows) == (2, 0)


def test_a_name_under_several_parents_is_shown_as_its_path(shop: Any, samples: Any) -> None:
    shop.product("a", category="Men", category_path=["Men", "Bottoms", "Pants"])
    shop.product("b", category="Women", category_path=["Women", "Bottoms", "Pants"])
    shop.product("c", category="Women", category_path=["Women", "Bottoms", "Shorts"])
    labels = {one["product_ids"][0]: one["label"] for one in samples(shop.build(TASK))}
    assert labels == {"a": "Men > Bottoms > Pants", "b": "Women > Bottoms > Pants", "c": "Shorts"}


def test_a_labelled_name_is_one_category_wherever_it_is_filed(shop: Any, samples: Any) -> None:
    shop.product("a", category="Men", category_path=["Men", "Belts"], fine_category="Belts")
    shop.product("b", category="Women", category_path=["Women", "Belts"])
    shop.product("c", category="Women", category_path=["Women", "Hats"], fine_category="Sun Hats")
    built = samples(shop.build(TASK))
    assert {one["product_ids"][0]: one["label"] for one in built} == {
        "a": "Belts",
        "b": "Belts",
        "c": "Sun Hats",
    }
    assert all(sorted(one["options"]) == ["Belts", "Sun Hats"] for one in built)


def test_case_does_not_make_a_category(shop: Any, samples: Any) -> None:
    for number, name in enumerate(["Coffee mugs", "Coffee Mugs", "Coffee Mugs", "Plates"]):
        shop.product(f"p{number}", category_path=["Home", name])
    built = samples(shop.build(TASK))
    assert all(sorted(one["options"]) == ["Coffee Mugs", "Plates"] for one in built)


def test_a_category_that_holds_the_product_is_no_wrong_answer(shop: Any, samples: Any) -> None:
    shop.product("top", category="Women", category_path=["Women", "Tops"])
    shop.product("jacket", category="Women", category_path=["Women", "Tops", "Jackets"])
    shop.product("labelled", category="Women", category_path=["Women", "Tops", "Tees"], fine_category="Tee")
    shop.product("skirt", category="Women", category_path=["Women", "Skirts"])
    options = {one["product_ids"][0]: set(one["options"]) for one in samples(shop.build(TASK))}
    assert options == {
        "top": {"Tops", "Tee", "Skirts"},
        "jacket": {"Jackets", "Tee", "Skirts"},
        "labelled": {"Tee", "Jackets", "Skirts"},
        "skirt": {"Skirts", "Tops", "Jackets", "Tee"},
    }


def test_row_order_changes_nothing(shop: Any) -> None:
    fill(shop)
    assert shop.build(TASK, reverse=True) == shop.build(TASK)


def test_the_order_of_skewed_categories_changes_nothing(shop: Any) -> None:
    fill_skewed(shop, tops=5, most=12)
    for negatives in ("frequency", "uniform"):
        settings: dict[str, Any] = {"negatives": negatives, "ood_categories": OUTSIDE}
        assert shop.build(TASK, reverse=True, **settings) == shop.build(TASK, **settings)


def test_the_frequency_of_categories_answers_little(shop: Any, samples: Any) -> None:
    """A category with more than a tenth of a top level's products cannot be wrong as often as it must be."""
    fill_skewed(shop)
    built = samples(shop.build(TASK))
    assert guessed(built, 1) < 0.18
    assert 0.07 < guessed(built, -1) < 0.11
    assert guessed(samples(shop.build(TASK, negatives="uniform")), 1) > 0.35


def test_each_domain_has_wrong_options_of_its_own(shop: Any, samples: Any) -> None:
    """Else a category that training offers and never asks for is wrong, and one that it asks for is out of domain."""
    fill_skewed(shop)
    built = samples(shop.build(TASK, ood_categories=OUTSIDE))
    for sample in built:
        tops = {option.partition(".")[0].replace("Leaf", "Top") for option in sample["options"]}
        assert (tops <= set(OUTSIDE)) == (sample["category"] in OUTSIDE)
        assert tops.isdisjoint(OUTSIDE) == (sample["category"] not in OUTSIDE)
    inside = [sample for sample in built if sample["category"] not in OUTSIDE]
    assert guessed(inside, 1) < 0.18
    assert guessed(built, 1, ood=True) == pytest.approx(0.1)
    before = samples(shop.build(TASK, ood_categories=OUTSIDE, negatives="uniform"))
    assert guessed(before, -1, ood=True) > 0.12


def test_a_single_top_level_out_of_domain_has_wrong_options_of_the_others(shop: Any, samples: Any) -> None:
    fill_skewed(shop, tops=5, most=12)
    outside = [one for one in samples(shop.build(TASK, ood_categories=OUTSIDE)) if one["category"] in OUTSIDE]
    for sample in outside:
        assert sum(option.startswith("Leaf 4") for option in sample["options"]) == 6
        assert len(set(sample["options"])) == 10


def test_categories_without_products_in_question_come_last(shop: Any, samples: Any) -> None:
    """Products of no top-level category and repeats are not asked about: they do not count."""
    fill(shop, tops=2, leaves=6)
    for number in range(50):
        shop.product(f"r{number}", title="Same", cluster_id="c", category_path=["Top 0", "Leaf 0.6"])
        shop.product(f"n{number}", category="", category_path=["Top 1", "Leaf 1.6"])
    shop.product("r", title="Same", cluster_id="c", category="Top 0", category_path=["Top 0", "Leaf 0.0"])
    shop.product("a", title="Same", cluster_id="c", category="Top 0", category_path=["Top 0", "Leaf 0.0"])
    offered = Counter(
        option
        for sample in samples(shop.build(TASK, options=6))
        for option in sample["options"]
        if option != sample["label"]
    )
    assert not {"Leaf 0.6", "Leaf 1.6"} & set(offered)
    assert len(offered) == 12
    every = samples(shop.build(TASK, options=26))
    assert all({"Leaf 0.6", "Leaf 1.6"} <= set(sample["options"]) for sample in every)


def test_few_samples_change_with_a_product(shop: Any, samples: Any) -> None:
    fill_skewed(shop, most=30)
    before = {sample["id"]: sample for sample in samples(shop.build(TASK))}
    shop.product("new", category="Top 0", category_path=["Top 0", "Leaf 0.5"])
    after = {sample["id"]: sample for sample in samples(shop.build(TASK))}
    assert len(after) == len(before) + 1
    changed = [one for one in before if before[one] != after[one]]
    assert 0 < len(changed) < len(before) / 10
    assert all("Leaf 0.5" in after[one]["options"] for one in changed), "only what became more frequent"


def test_a_product_of_a_known_category_changes_no_other_sample_of_uniform_options(
    shop: Any, samples: Any
) -> None:
    fill(shop)
    before = samples(shop.build(TASK, negatives="uniform"))
    shop.product("new", category="Top 0", category_path=["Top 0", "Leaf 0.0"])
    after = samples(shop.build(TASK, negatives="uniform"))
    assert len(after) == len(before) + 1
    assert all(sample in after for sample in before)


@pytest.mark.parametrize("negatives", ["frequency", "uniform"])
def test_many_categories(shop: Any, samples: Any, negatives: str) -> None:
    """More members than one asker reads: the rules hold as well."""
    fill(shop, tops=3, leaves=150, products=1)
    for sample in samples(shop.build(TASK, negatives=negatives)):
        near = sum(one.startswith(sample["label"][:6]) for one in sample["options"])
        assert (near, len(set(sample["options"]))) == (6, 10)


def test_categories_of_several_places_are_offered_once(
    shop: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a large pool a frequent category has many places."""
    monkeypatch.setattr("mmecinstruct.tasks.pools.WHOLE_WEIGHTED_POOL", 16)
    fill_skewed(shop)
    built = samples(shop.build(TASK))
    for sample in built:
        near = sum(one.startswith(sample["label"][:6]) for one in sample["options"])
        assert (near, len(set(sample["options"]))) == (6, 10)
    assert guessed(built, 1) < 0.18
    assert 0.07 < guessed(built, -1) < 0.11


def test_one_item_in_two_sources_is_asked_about_once(shop: Any, samples: Any, reasons: Any) -> None:
    fill(shop, products=1)
    path = ["Top 0", "Leaf 0.0"]
    shop.product("q0", title="TITLE of p0.0.0!", cluster_id="p0.0.0", category=path[0], category_path=path)
    shop.product("q1", title="Another title", cluster_id="p0.0.0", category=path[0], category_path=path)
    output = shop.build(TASK)
    assert reasons(output) == {"q0": "duplicate_in_cluster"}
    assert {sample["product_ids"][0] for sample in samples(output)} >= {"p0.0.0", "q1"}


def test_labelled_only_asks_about_labelled_products(shop: Any, samples: Any, reasons: Any) -> None:
    fill(shop)
    shop.product("labelled", fine_category="Teapots", category_path=["Top 0"], category="Top 0")
    output = shop.build(TASK, labelled_only=True)
    assert [sample["product_ids"] for sample in samples(output)] == [["labelled"]]
    assert set(reasons(output).values()) == {"no_fine_category"}
    assert set(output.rejections["detail"].to_pylist()) == {"no label"}


def test_only_sampled_products_are_asked_about(shop: Any, samples: Any) -> None:
    fill(shop)
    whole = {sample["id"]: sample for sample in samples(shop.build(TASK, negatives="uniform"))}
    asked = ["p0.0.0", "p2.3.1"]
    output = shop.build(TASK, negatives="uniform", sampled_records=[(one, None) for one in asked])
    assert output.records_in == 2
    assert [sample["product_ids"][0] for sample in samples(output)] != []
    assert all(whole[sample["id"]] == sample for sample in samples(output))
    assert {sample["product_ids"][0] for sample in samples(output)} == set(asked)


def test_only_sampled_products_count(shop: Any, samples: Any) -> None:
    """Products that are kept for other tasks say nothing about the answers of this one."""
    fill(shop, products=4)
    for number in range(80):
        shop.product(f"kept {number}", category="Top 0", category_path=["Top 0", "Leaf 0.0"])
    sampled = [f"p{top}.{leaf}.{n}" for top in range(4) for leaf in range(1, 6) for n in range(4)]
    built = samples(shop.build(TASK, options=5, sampled_records=[(one, None) for one in sampled]))
    assert len(built) == len(sampled)
    assert not any("Leaf 0.0" in sample["options"] for sample in built)


def test_the_old_name_of_uniform_is_read() -> None:
    read = CategoryClassificationSettings.model_validate
    assert read({"negatives": "random"}).negatives == "uniform"
    assert read({}).negatives == "frequency"
    with pytest.raises(ValidationError, match="frequency"):
        read({"negatives": "popularity"})
    # Resolved recipes of earlier versions name the settings of all tasks in every task.
    named = [f"tasks.{task}.negatives=random" for task in (TASK, "sentiment_analysis")]
    settings = load_recipe("sample", named).task(TASK)
    assert isinstance(settings, CategoryClassificationSettings)
    assert settings.negatives == "uniform"


def test_no_category_of_a_product_is_a_wrong_option(shop: Any, samples: Any) -> None:
    fill(shop, tops=3, leaves=4)
    others = [["Top 0", "Leaf 0.1", "Inner"], ["Top 1"], ["TOP 2", "LEAF 2.0"]]
    path = ["Top 0", "Leaf 0.0"]
    shop.product("several", category=path[0], category_path=path, other_category_paths=others)
    own = {"Leaf 0.1", *(f"Leaf 1.{n}" for n in range(4)), "Leaf 2.0"}
    (sample,) = [one for one in samples(shop.build(TASK, options=26)) if one["product_ids"] == ["several"]]
    assert sample["label"] == "Leaf 0.0"
    assert not own & set(sample["options"])
    assert len(sample["options"]) == 12 - len(own)


@pytest.mark.parametrize(
    ("which", "outside", "expected"),
    [
        ("first", (), ["Sale"]),
        ("deepest", (), ["Home", "Kitchen", "Mugs"]),
        ("rarest", (), ["Gifts"]),
        ("deepest", ("SALE", "Gifts"), ["Gifts"]),
        ("rarest", ("home",), ["Home", "Kitchen", "Mugs"]),
    ],
)
def test_the_recipe_chooses_one_of_several_categories(
    which: Any, outside: tuple[str, ...], expected: list[str]
) -> None:
    paths = [["Sale"], ["Home", "Kitchen", "Mugs"], ["Gifts"]]
    rows: list[dict[str, Any]] = [
        {"product_id": "a", "category": "Sale", "category_path": paths[0], "other_category_paths": paths[1:]},
        *(
            {"product_id": f"{path[0]} {n}", "category": path[0], "category_path": path}
            for path in paths[:2]
            for n in range(2)
        ),
        {"product_id": "none", "category": "", "category_path": []},
    ]
    with connect() as connection:
        connection.register("rows", pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS))
        connection.execute("CREATE VIEW products AS SELECT * FROM rows")
        place_products(connection, which, outside)
        table = connection.sql("SELECT * FROM products").to_arrow_table().to_pylist()
    found = {row["product_id"]: row for row in table}
    assert len(found) == len(rows)
    assert (found["a"]["category"], found["a"]["category_path"]) == (expected[0], expected)
    assert sorted(found["a"]["other_category_paths"]) == sorted(path for path in paths if path != expected)
    assert all(found[row["product_id"]]["category"] == row["category"] for row in rows[1:])
