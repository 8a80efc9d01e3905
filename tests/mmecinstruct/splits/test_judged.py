"""Judged pairs: queries and their products share a split, and few pairs are lost where a community is cut."""

from __future__ import annotations

from collections import Counter

import pytest

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.splits.assign import Splits, assign_products
from mmecinstruct.splits.judged import split_by_hash

SETTINGS = SplitSettings(train=0.7, validation=0.1, test=0.2)
Pairs = list[tuple[str, str]]


def assign(pairs: Pairs, settings: SplitSettings = SETTINGS, **more: object) -> Splits:
    unit_of = {product: product for _, product in pairs}
    return assign_products(unit_of, more.pop("outside", ()), settings, 1, judged=pairs, **more)  # type: ignore[arg-type]


def kept(pairs: Pairs, splits: Splits) -> Pairs:
    return [(query, product) for query, product in pairs if splits.queries[query] == splits.units[product]]


def stars(queries: int, products: int = 6) -> Pairs:
    """Queries with products of their own."""
    return [(f"query {q:03}", f"p{q:03}.{p}") for q in range(queries) for p in range(products)]


def shares(pairs: Pairs, splits: Splits) -> dict[str, float]:
    counts = Counter(splits.queries[query] for query, _ in kept(pairs, splits))
    return {name: count / len(pairs) for name, count in counts.items()}


def test_queries_with_products_of_their_own_lose_no_pair() -> None:
    pairs = stars(50)
    pairs += [(f"query {q:03}", f"p{q + 1:03}.0") for q in range(0, 20, 2)]
    splits = assign(pairs)
    assert kept(pairs, splits) == pairs
    assert shares(pairs, splits) == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.03)


def test_the_order_of_rows_changes_nothing() -> None:
    pairs = [(f"query {hash_draw(0, 'q', str(n)) % 60:03}", f"p{n % 90}") for n in range(300)]
    by_hash = sorted(pairs, key=lambda pair: hash_draw(1, "order", *pair))
    assert assign(pairs) == assign(by_hash)


def test_a_community_of_few_pairs_goes_by_the_hash_of_its_first_query() -> None:
    pairs = stars(400, 2)
    splits = assign(pairs)
    for query, product in pairs:
        assert splits.units[product] == split_by_hash(SETTINGS, 1, "split:query", query)
    more = [*pairs, ("another query", "another product"), ("query 000", "p000.new")]
    again = assign(more)
    assert splits.queries.items() <= again.queries.items()
    assert splits.units.items() <= again.units.items()


def test_a_large_community_is_cut_and_few_pairs_are_lost() -> None:
    # 200 queries in groups of five, a chain of one shared product from group to group.
    pairs = [(f"query {q:03}", f"group {q // 5} {p}") for q in range(200) for p in range(4)]
    pairs += [(f"query {q:03}", f"group {q // 5 + 1} 0") for q in range(4, 195, 5)]
    splits = assign(pairs)
    assert len(kept(pairs, splits)) >= 0.97 * len(pairs)
    found = shares(pairs, splits)
    assert found == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.05)


def test_products_judged_for_every_query_are_in_one_split_alone() -> None:
    pairs = [*stars(100, 3), *((f"query {q:03}", "bestseller") for q in range(100))]
    splits = assign(pairs)
    assert len(kept(pairs, splits)) >= 300
    assert {"train", "validation", "test"} == set(splits.units.values())


def test_an_outside_product_connects_nothing() -> None:
    pairs = [*stars(100, 3), *((f"query {q:03}", "garden hose") for q in range(100))]
    splits = assign(pairs, outside={"garden hose"})
    assert splits.units.pop("garden hose") == "test_ood"
    assert splits == assign(stars(100, 3))


def test_products_without_judgements_go_by_their_hash() -> None:
    unit_of = {f"p{n}": f"p{n}" for n in range(40)}
    splits = assign_products(unit_of, (), SETTINGS, 1, judged=[("red mug", "p0"), ("red mug", "unknown")])
    assert splits.queries == {"red mug": splits.units["p0"]}
    for unit in list(unit_of)[1:]:
        assert splits.units[unit] == split_by_hash(SETTINGS, 1, "split:product", unit)


def test_judged_products_follow_what_sampling_predicted() -> None:
    pairs = stars(3, 2)
    names = ("train", "validation", "test")
    predicted = {product: names[int(product[1:4])] for _, product in pairs}
    splits = assign(pairs, predicted=predicted)
    assert splits.units == predicted
    assert splits.queries == {f"query {n:03}": name for n, name in enumerate(names)}


def test_a_community_of_related_products_takes_its_queries_along() -> None:
    pairs = stars(30, 4)
    settings = SETTINGS.model_copy(update={"scheme": "communities"})
    relations = [(f"p{n:03}.0", f"p{n + 1:03}.0") for n in range(0, 30, 2)]
    splits = assign(pairs, settings, relations=relations)
    assert len(kept(pairs, splits)) >= 0.95 * len(pairs)


@pytest.mark.parametrize("pairs", [[], [("one query", "p")]])
def test_few_pairs_are_enough(pairs: Pairs) -> None:
    splits = assign(pairs)
    assert kept(pairs, splits) == pairs
