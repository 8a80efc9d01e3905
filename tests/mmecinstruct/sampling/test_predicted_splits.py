"""Predicted splits equal the assigned ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import connect
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.sampling.predicted_splits import (
    create_expected_products,
    create_expected_queries,
    split_sql,
)
from mmecinstruct.splits.assign import assign_products, query_key, split_by_hash

SETTINGS = SplitSettings(train=0.55, validation=0.15, test=0.3, ood_categories=("Garden", "O'Neill's"))


def expected(raw: Any, *taken_down: str, reverse: bool = False) -> dict[str, dict[str, Any]]:
    with raw.connected(reverse) as connection:
        create_expected_products(connection, SETTINGS, 7, taken_down)
        table = connection.sql("SELECT * FROM expected_product").to_arrow_table()
    return {row["product_id"]: row for row in table.to_pylist()}


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.55, 0.15, 0.3), (1 / 3, 1 / 3, 1 / 3)])
def test_the_sql_expression_equals_the_function(shares: tuple[float, float, float]) -> None:
    settings = SplitSettings(train=shares[0], validation=shares[1], test=shares[2])
    keys = [f"amazon18:B{number:09}" for number in range(3000)] + ["", "Grüße", "a'b"]
    with connect() as connection:
        connection.register("keys", pa.table({"key": keys}))
        found = connection.sql(f"SELECT {split_sql(settings, 11, 'split:user', 'key')} FROM keys").fetchall()
    assert [split for (split,) in found] == [split_by_hash(settings, 11, "split:user", key) for key in keys]


def test_single_products_get_the_predicted_split(raw: Any) -> None:
    for number in range(60):
        raw.product(f"shop:{number}", ("Home", "Garden", "O'Neill's")[number % 3])
    found = expected(raw)
    outside = {name for name, row in found.items() if row["category"] in SETTINGS.ood_categories}
    split_of = assign_products({name: name for name in found}, outside, SETTINGS, 7).units
    assert {name: row["split"] for name, row in found.items()} == split_of
    assert set(split_of.values()) == {"train", "validation", "test", "test_ood"}


def test_an_item_of_two_publishers_is_assigned_by_its_smallest_id(raw: Any) -> None:
    for number in range(30):
        raw.product(f"esci:B{number}", "")
        raw.product(f"amazon18:B{number}", "Garden" if number == 3 else "Home")
        raw.product(f"shop:B{number}", "")
    found = expected(raw)
    for number in range(30):
        one, other, own = (found[f"{prefix}:B{number}"] for prefix in ("amazon18", "esci", "shop"))
        assert other["item"] == one["item"] == f"amazon18:B{number}"
        assert (other["split"], other["category"]) == (one["split"], one["category"])
        assert (own["item"], own["category"]) == (f"shop:B{number}", "")
    assert found["esci:B3"]["split"] == "test_ood"
    assert found["esci:B4"]["split"] == split_by_hash(SETTINGS, 7, "split:product", "amazon18:B4")


def test_a_group_is_assigned_by_its_name(raw: Any) -> None:
    for number in range(30):
        for size in ("S", "M"):
            raw.product(f"shop:{number}-{size}", "Garden" if (number, size) == (3, "M") else "Home")
            raw.rows["products"][-1]["group_id"] = f"shop:{number}"
        raw.product(f"shop:{number}", "Home")
    found = expected(raw)
    for number in range(30):
        (split,) = {found[f"shop:{number}{end}"]["split"] for end in ("-S", "-M", "")}
        wanted = split_by_hash(SETTINGS, 7, "split:product", f"shop:{number}")
        assert split == ("test_ood" if number == 3 else wanted)


def test_repeated_and_taken_down_products_are_left_out(raw: Any) -> None:
    raw.product("a", "Home", image_urls=[])
    raw.product("a", "Garden")
    raw.product("b", "Home")
    assert {name: row["category"] for name, row in expected(raw, "b").items()} == {"a": "Home"}
    assert not expected(raw)["a"]["has_image"]
    assert expected(raw, reverse=True)["a"]["split"] == "test_ood"


def test_labels_and_images_of_other_sources_count(raw: Any) -> None:
    raw.product("a", image_urls=[], category_path=[])
    raw.add("product_images", product_id="a", image_url="x.jpg")
    for label in ("Pots", "Mugs", " "):
        raw.add("category_labels", product_id="a", fine_category=label)
    row = expected(raw)["a"]
    assert (row["has_image"], row["has_path"], row["label"]) == (True, False, "Mugs")


def test_judged_pairs_get_the_assigned_splits(raw: Any) -> None:
    texts = ["red mug", "Red  MUG!", "a 'quoted' one", *(f"query {number}" for number in range(60)), "…"]
    for number in range(120):
        raw.product(f"amazon18:B{number}", "Garden" if number % 10 == 9 else "Home")
        raw.product(f"esci:B{number}", "")
    judged = []
    for number, text in enumerate(texts):
        for product in (number, number + 30, number * 7 % 120):
            judged.append((f"q{number}", text, f"esci:B{product}"))
            raw.add("judgements", query_id=f"q{number}", query=text, product_id=f"esci:B{product}", label="E")
    raw.add("judgements", query_id="empty", query=" ", product_id="esci:B1", label="E")
    raw.add("judgements", query_id="q1", query=texts[1], product_id="esci:unknown", label="E")
    for reverse in (False, True):
        with raw.connected(reverse) as connection:
            create_expected_products(connection, SETTINGS, 7)
            create_expected_queries(connection, SETTINGS, 7)
            products = connection.sql("SELECT * FROM expected_product").to_arrow_table().to_pylist()
            queries = dict(connection.sql("SELECT query_id, split FROM expected_query").fetchall())
        item_of = {row["product_id"]: row["item"] for row in products}
        outside = {row["item"] for row in products if row["category"] == "Garden"}
        pairs = [(query_key(name, text), product) for name, text, product in judged]
        splits = assign_products(item_of, outside, SETTINGS, 7, judged=pairs)
        assert {row["product_id"]: row["split"] for row in products} == {
            product: splits.units[item] for product, item in item_of.items()
        }
        assert queries == {
            name: splits.queries[key]
            for (name, _, _), (key, _) in zip(judged, pairs, strict=True)
            if key in splits.queries
        }
        assert queries["q0"] == queries["q1"]
        in_pairs = {item_of[product] for _, _, product in judged} - outside
        assert {row["item"] for row in products if row["is_judged"]} == in_pairs
        assert all(row["is_judged"] == (row["item"] in in_pairs) for row in products)


def test_the_out_of_domain_category_of_several_counts(raw: Any) -> None:
    raw.product("shop:1", "Home")
    raw.add("category_labels", product_id="shop:1", category_path=["GARDEN", "Hoses"])
    raw.product("shop:2", "Home")
    raw.add("category_labels", product_id="shop:2", category_path=["Sale"])
    raw.product("shop:3", "Sale", category_path=["Sale"])
    raw.add("category_labels", product_id="shop:3", category_path=["Home", "Mugs"])
    found = expected(raw)
    assert {name: (row["category"], row["split"] == "test_ood") for name, row in found.items()} == {
        "shop:1": ("GARDEN", True),
        "shop:2": ("Home", False),
        "shop:3": ("Home", False),
    }
