from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.tasks.pools import BUCKETS_READ, WHOLE_POOL, hash_ordered_members, make_pool, make_pools


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
