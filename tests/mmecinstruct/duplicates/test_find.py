"""Find duplicates: clusters, pairs with their evidence, and merged products."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from mmecinstruct.duplicates.find import find_duplicates
from mmecinstruct.duplicates.settings import DuplicateSettings


@pytest.fixture
def shop(make):
    """Six products: a recompressed double, a colour variant, the same item elsewhere, and a lone one."""
    mug, blue, lamp = make.drawing(1), make.drawing(1, "blue"), make.drawing(9)
    images = make.images(
        {
            "mug": make.encoded(mug, quality=92),
            "mug again": make.encoded(mug.resize((200, 200)), quality=70),
            "blue mug": make.encoded(blue, quality=92),
            "lamp": make.encoded(lamp),
            "gone": b"",
        },
        gone={"status": "rejected", "reason": "empty_file"},
    )
    products = make.products(
        {"product_id": "shop:1", "title": "Enamel camping mug", "brand": "Acme", "image_urls": ["mug"]},
        {
            "product_id": "shop:2",
            "title": "Camping mug, enamel, outdoor",
            "brand": "Acme",
            "description": "Holds tea.",
            "image_urls": ["gone", "mug again"],
        },
        {"product_id": "shop:3", "title": "Enamel camping mug", "brand": "Acme", "image_urls": ["blue mug"]},
        {"product_id": "amazon18:B1", "title": "Desk lamp", "image_urls": ["lamp"]},
        {"product_id": "esci:B1", "title": "Lamp for the desk, brass"},
        {"product_id": "shop:4", "title": "!"},
    )
    return products, images


def rows(result):
    return {row["product_id"]: row for row in result.products.to_pylist()}


def test_each_pair_has_its_kind_and_evidence(shop) -> None:
    result = find_duplicates(*shop, DuplicateSettings())
    pairs = {(row["product_a"], row["product_b"], row["kind"]): row for row in result.pairs.to_pylist()}
    assert set(pairs) == {
        ("amazon18:B1", "esci:B1", "same_item"),
        ("shop:1", "shop:2", "near_image"),
        ("shop:1", "shop:3", "exact_title"),
    }
    near = pairs["shop:1", "shop:2", "near_image"]
    assert near["similarity"] == pytest.approx(3 / 4)
    assert 0 <= near["distance"] <= 6
    assert 0 < near["colour_difference"] < 28
    assert near["image_a"] != near["image_b"]
    assert {key[:2]: row["same_product"] for key, row in pairs.items()} == {
        ("amazon18:B1", "esci:B1"): True,
        ("shop:1", "shop:2"): True,
        ("shop:1", "shop:3"): False,  # a variant: equal title, another image
    }


def test_clusters_hold_variants_together_and_nothing_else(shop) -> None:
    result = find_duplicates(*shop, DuplicateSettings())
    found = rows(result)
    assert {one: row["cluster_id"] for one, row in found.items()} == {
        "shop:1": "shop:1",
        "shop:2": "shop:1",
        "shop:3": "shop:1",
        "amazon18:B1": "amazon18:B1",
        "esci:B1": "amazon18:B1",
        "shop:4": "shop:4",
    }
    # The more complete record is the representative.
    assert found["shop:1"]["same_product_id"] == "shop:2"
    assert found["shop:3"]["same_product_id"] == "shop:3"
    assert (result.rejections, result.merged) == ([], {})
    assert result.statistics["cluster_sizes"] == {1: 1, 2: 1, 3: 1}
    assert result.statistics["pairs"]["products_without_title"] == 1
    assert result.statistics["duplicate_products"] == 2


def test_merging_keeps_the_representative_and_explains_the_others(shop) -> None:
    products, images = shop
    result = find_duplicates(products, images, DuplicateSettings(merge=True))
    assert result.merged == {"shop:1": "shop:2", "esci:B1": "amazon18:B1"}
    assert products.num_rows == result.products.num_rows + len(result.rejections)
    assert {(one.record_id, one.reason, one.detail) for one in result.rejections} == {
        ("shop:1", "duplicate_product", "the same product as shop:2: near_image"),
        ("esci:B1", "duplicate_product", "the same product as amazon18:B1: same_item"),
    }
    # A cluster is named by a kept product.
    assert {row["cluster_id"] for row in rows(result).values()} == {"shop:2", "amazon18:B1", "shop:4"}


def test_the_order_of_the_rows_changes_nothing(shop) -> None:
    products, images = shop
    wanted = find_duplicates(products, images, DuplicateSettings(merge=True))
    rng = random.Random(2)
    for _ in range(3):
        turned = find_duplicates(
            products.take(rng.sample(range(6), 6)),
            images.take(rng.sample(range(5), 5)),
            DuplicateSettings(merge=True),
        )
        assert turned.products.equals(wanted.products)
        assert turned.pairs.equals(wanted.pairs)
        assert (turned.rejections, turned.merged, turned.statistics) == (
            wanted.rejections,
            wanted.merged,
            wanted.statistics,
        )


def test_a_boilerplate_title_makes_no_oversized_cluster(make) -> None:
    products = make.products(
        *({"product_id": f"shop:{number:03d}", "title": "Gift Card"} for number in range(50)),
        *({"product_id": f"esci:{number:03d}", "title": f"w{number} x{number}"} for number in range(50)),
    )
    result = find_duplicates(products, make.images({}), DuplicateSettings(max_cluster_size=10))
    assert max(result.statistics["cluster_sizes"]) == 10
    assert result.statistics["split_components"] == 1
    assert result.statistics["dropped_pairs"] == 40
    assert result.statistics["duplicate_products"] == 0


def test_what_a_large_cluster_lets_go_stays_in_its_split_unit(make) -> None:
    """Of equal titles the cap lets some go; those with the same image, too, stay in the cluster."""
    content = make.encoded(make.drawing(3))
    products = make.products(
        *({"product_id": f"shop:{n:02d}", "title": "Gift Card", "image_urls": ["x"]} for n in range(15)),
        *({"product_id": f"shop:{n:02d}", "title": "Gift Card"} for n in range(15, 30)),
    )
    result = find_duplicates(products, make.images({"x": content}), DuplicateSettings(max_cluster_size=10))
    found = list(rows(result).values())
    assert {row["cluster_id"] for row in found[:15]} == {"shop:00"}
    assert len({row["cluster_id"] for row in found[15:]}) > 1
    assert {row["split_unit"] for row in found} == {"shop:00"}
    assert (result.statistics["split_units"], result.statistics["largest_split_unit"]) == (1, 30)


def test_groups_and_variants_share_a_split_unit_and_no_cluster(make) -> None:
    articles = [
        {"title": "Rain Jacket Fern XS", "group_id": "shop:FERN"},
        {"title": "Coat for the garden", "group_id": "shop:FERN"},
        {"title": "Trail Hoodie-XS-Moss", "brand": "Tidewick"},
        {"title": "Trail Hoodie-L-Dark Plum", "brand": "Tidewick"},
        {"title": "Something else"},
    ]
    products = make.products(*({"product_id": f"shop:{n}", **row} for n, row in enumerate(articles)))
    units = [
        row["split_unit"]
        for row in rows(find_duplicates(products, make.images({}), DuplicateSettings())).values()
    ]
    assert units == ["shop:FERN", "shop:FERN", "shop:2", "shop:2", "shop:4"]
    told = find_duplicates(products, make.images({}), DuplicateSettings(recognise_variants=False))
    assert [row["split_unit"] for row in rows(told).values()] == [*units[:2], "shop:2", "shop:3", "shop:4"]
    assert len({row["cluster_id"] for row in rows(told).values()}) == 5
    assert (told.statistics["groups"], told.statistics["variants"]) == (1, 0)


def test_a_shared_image_links_but_does_not_merge(make) -> None:
    content = make.encoded(make.drawing(11))
    products = make.products(
        {"product_id": "shop:1", "title": "Teapot", "image_urls": ["x"]},
        {"product_id": "shop:2", "title": "Gas stove", "image_urls": ["y"]},
    )
    result = find_duplicates(
        products, make.images({"x": content, "y": content}), DuplicateSettings(merge=True)
    )
    assert [row["kind"] for row in result.pairs.to_pylist()] == ["identical_bytes"]
    assert {row["cluster_id"] for row in rows(result).values()} == {"shop:1"}
    assert result.merged == {}


def test_an_empty_table_has_no_clusters(make) -> None:
    result = find_duplicates(make.products(), make.images({}), DuplicateSettings())
    assert (result.products.num_rows, result.pairs.num_rows, result.statistics["clusters"]) == (0, 0, 0)


def test_a_product_lies_in_the_categories_of_the_records_merged_into_it(make) -> None:
    same = {"title": "Oak garden lamp", "brand": "Acme"}
    products = make.products(
        {
            "product_id": "shop:1",
            **same,
            "category": "Home",
            "category_path": ["Home", "Lamps"],
            "color": "oak",
        },
        {"product_id": "shop:2", **same, "category": "Garden", "category_path": ["Garden", "Lamps"]},
        {"product_id": "shop:3", **same, "category": "Home", "category_path": ["Home", "Lamps"]},
        {"product_id": "shop:4", "title": "Red mug", "category_path": ["Home", "Mugs"]},
    )
    found = find_duplicates(products, make.images({}), DuplicateSettings(merge=True))
    assert found.merged == {"shop:2": "shop:1", "shop:3": "shop:1"}
    assert found.products["category_path"].to_pylist() == [["Home", "Lamps"], ["Home", "Mugs"]]
    assert found.products["other_category_paths"].to_pylist() == [[["Garden", "Lamps"]], None]
    backwards = products.take(pa.array([3, 2, 1, 0]))
    assert (
        find_duplicates(backwards, make.images({}), DuplicateSettings(merge=True)).products == found.products
    )
