from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.tasks import pools
from mmecinstruct.tasks.pools import (
    BUCKETS_READ,
    WHOLE_POOL,
    WHOLE_WEIGHTED_POOL,
    Pool,
    hash_ordered_members,
    make_pool,
    make_pools,
)


def pool_of(size: int):
    members = np.arange(size)
    return make_pool(members, np.array([hash_draw(0, "point", str(one)) for one in members], dtype=np.uint64))


@pytest.mark.parametrize("size", [0, 1, 2, WHOLE_POOL, WHOLE_POOL + 1, 1000, 5000])
def test_every_member_comes_once(size: int) -> None:
    assert sorted(hash_ordered_members(pool_of(size), 0, "test", "asker")) == list(range(size))


@pytest.mark.parametrize("size", [100, 5000])
def test_the_order_is_the_askers_own(size: int) -> None:
    pool = pool_of(size)
    orders = {tuple(hash_ordered_members(pool, 0, "test", str(asker))) for asker in range(50)}
    orders.add(tuple(hash_ordered_members(pool, 1, "test", "0")))
    orders.add(tuple(hash_ordered_members(pool, 0, "other", "0")))
    assert len(orders) == 52
    assert tuple(hash_ordered_members(pool, 0, "test", "0")) in orders


def test_the_rows_order_does_not_matter() -> None:
    members = np.arange(3000)
    points = np.array([hash_draw(0, "point", str(one)) for one in members], dtype=np.uint64)
    turned = make_pool(members[::-1], points[::-1])
    assert list(hash_ordered_members(turned, 0, "test", "a")) == list(
        hash_ordered_members(pool_of(3000), 0, "test", "a")
    )


@pytest.mark.parametrize("size", [60, 2000])
def test_members_are_sampled_equally_often(size: int) -> None:
    """The count of a member is binomial, but for the sizes of the buckets, which spread it a little more."""
    pool, askers, wanted = pool_of(size), 6000, 19
    counts = np.zeros(size)
    for asker in range(askers):
        for member in islice(hash_ordered_members(pool, 0, "test", str(asker)), wanted):
            counts[member] += 1
    expected = askers * wanted / size
    assert counts.sum() == askers * wanted
    assert counts.min() > expected * 0.5
    assert counts.max() < expected * 1.6
    assert counts.std() < 2 * expected**0.5


def test_a_new_member_changes_few_draws_of_a_large_pool() -> None:
    size, askers = 5000, 300

    def first_members(count: int) -> list[tuple[int, ...]]:
        pool = pool_of(count)
        return [
            tuple(islice(hash_ordered_members(pool, 0, "test", str(asker)), 20)) for asker in range(askers)
        ]

    changed = sum(
        before != after for before, after in zip(first_members(size), first_members(size + 1), strict=True)
    )
    # An asker reads 8 of 512 buckets.
    assert changed <= 4 * askers * BUCKETS_READ / 512


def test_a_new_member_keeps_the_order_of_a_small_pool() -> None:
    before = list(hash_ordered_members(pool_of(100), 0, "test", "a"))
    after = [one for one in hash_ordered_members(pool_of(101), 0, "test", "a") if one != 100]
    assert after == before


def test_pools_by_key() -> None:
    members = np.arange(6)
    points = np.arange(6, dtype=np.uint64)
    pools = make_pools(np.array(["b", "a", "b", "c", "a", "b"], dtype=object), members, points)
    assert {key: sorted(pool.members.tolist()) for key, pool in pools.items()} == {
        "a": [1, 4],
        "b": [0, 2, 5],
        "c": [3],
    }
    assert make_pools(np.array([], dtype=object), members[:0], points[:0]) == {}


WEIGHTED_SIZES = (300, WHOLE_WEIGHTED_POOL, WHOLE_WEIGHTED_POOL + 1)


def weights_of(size: int, power: float = 1.0):
    return np.maximum(1.0, np.round(1000 / np.arange(1, size + 1))) ** power


def weighted_pool(size: int, power: float = 1.0) -> Pool:
    members = np.arange(size)
    points = np.array([hash_draw(0, "point", str(one)) for one in members], dtype=np.uint64)
    return make_pool(members, points, weights_of(size, power))


def first_of(pool: Pool, asker: str, wanted: int) -> list[int]:
    """Return the first members, each once."""
    return list(islice(dict.fromkeys(hash_ordered_members(pool, 0, "test", asker)), wanted))


@pytest.mark.parametrize("size", WEIGHTED_SIZES)
@pytest.mark.parametrize("power", [1.0, 0.75])
def test_the_next_member_comes_in_proportion_to_its_weight(size: int, power: float) -> None:
    """Compare with keys −ln(u)/weight of independent u: how often each member is first, and among the first 19."""
    pool, weights, askers = weighted_pool(size, power), weights_of(size, power), 2000
    generator = np.random.default_rng(0)
    first, among, expected = np.zeros(size), np.zeros(size), np.zeros(size)
    for asker in range(askers):
        chosen = first_of(pool, str(asker), 19)
        first[chosen[0]] += 1
        among[chosen] += 1
        expected[np.argpartition(generator.exponential(size=size) / weights, 19)[:19]] += 1
    share = askers * weights / weights.sum()
    assert ((first - share) ** 2 / share).sum() < 1.3 * size
    for start, stop in ((0, 1), (1, 5), (5, 20), (20, 100), (100, size)):
        assert among[start:stop].sum() == pytest.approx(expected[start:stop].sum(), rel=0.06)


@pytest.mark.parametrize("size", WEIGHTED_SIZES)
def test_every_member_of_a_weighted_pool_comes(size: int) -> None:
    pool = weighted_pool(size)
    assert sorted(set(hash_ordered_members(pool, 0, "test", "asker"))) == list(range(size))
    assert len({tuple(first_of(pool, str(asker), 19)) for asker in range(50)}) == 50


def test_sums_of_any_size_are_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST_PLACES", 4000)
    size = WHOLE_WEIGHTED_POOL + 1
    pool, weights = weighted_pool(size), weights_of(size)
    assert len(pool.members) <= 4000 + size < weights.sum()
    first = Counter(first_of(pool, str(asker), 1)[0] for asker in range(2000))
    assert first[0] == pytest.approx(2000 * weights[0] / weights.sum(), rel=0.2)
    assert sorted(set(hash_ordered_members(pool, 0, "test", "asker"))) == list(range(size))


@pytest.mark.parametrize("size", WEIGHTED_SIZES[::2])
def test_a_larger_weight_changes_few_orders(size: int) -> None:
    members, weights = np.arange(size), weights_of(size)
    points = np.array([hash_draw(0, "point", str(one)) for one in members], dtype=np.uint64)
    before = make_pool(members, points, weights)
    weights[7] += 1
    after = make_pool(members[::-1], points[::-1], weights[::-1])
    changed = 0
    for asker in map(str, range(300)):
        one, other = first_of(before, asker, 19), first_of(after, asker, 19)
        changed += one != other
        assert set(other) - set(one) <= {7}
    assert changed < 30
