"""Pairs of hashes within a radius, compared with brute force."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mmecinstruct.duplicates import hash_index, hash_plan, runs
from mmecinstruct.duplicates.hash_index import (
    iterate_matches_between,
    iterate_pairs_within,
    matches_between,
    pairs_within,
)

RADII = range(13)


def brute_force(left, right, radius, same):
    distances = np.bitwise_count(left[:, None] ^ right[None, :])
    if same:
        distances[np.tril_indices(len(left))] = 65
    pairs = np.argwhere(distances <= radius)
    return pairs.tolist(), distances[pairs[:, 0], pairs[:, 1]].tolist()


def packed(bits):
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def uniform(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def flipped(hashes, seed=1, most=12):
    """Hashes with a few bits flipped each."""
    generator = np.random.default_rng(seed)
    flips = [generator.choice(64, generator.integers(0, most + 1), replace=False) for _ in hashes]
    return hashes ^ np.array([sum(1 << int(bit) for bit in flip) for flip in flips], dtype=np.uint64)


def skewed(count, seed=0):
    """A few categories, in each of which most bits hardly vary."""
    generator = np.random.default_rng(seed)
    centres = generator.random((4, 64)) < 0.5
    change = generator.beta(0.4, 3.0, (4, 64)) * 0.5
    category = generator.integers(0, 4, count)
    return packed(centres[category] ^ (generator.random((count, 64)) < change[category]))


def few_bits(count, seed=0):
    """Only ten neighbouring bits ever vary: any one block of bits is equal in very many."""
    return np.random.default_rng(seed).integers(0, 1024, count, dtype=np.uint64) << np.uint64(20)


DATA = {
    "uniform with planted pairs": lambda: np.concatenate([uniform(500), flipped(uniform(500))]),
    "skewed": lambda: skewed(700),
    "few bits": lambda: few_bits(250),
    "all equal": lambda: np.full(120, 7, np.uint64),
    "every single bit and none": lambda: np.array([0, *(1 << bit for bit in range(64))], np.uint64),
    "runs of ones": lambda: np.array([(1 << size) - 1 for size in range(65)], np.uint64),
    "extremes": lambda: np.array([0, 2**64 - 1, 2**63, 1, 0, 2**64 - 1], np.uint64),
}


@pytest.fixture(params=[True, False], ids=["planned for many", "as planned"])
def plan(request, monkeypatch):
    """Few hashes are compared all with all; search them as many hashes are searched, too."""
    if request.param:
        monkeypatch.setattr(hash_plan, "_SMALL", 0)
        monkeypatch.setattr(hash_plan, "_SORT_COST", 0.0)
        monkeypatch.setattr(hash_index, "LARGE_BUCKET", 60)
        monkeypatch.setattr(runs, "CHUNK", 64)
        monkeypatch.setattr(hash_index, "_TILE_SIDE", 16)


@pytest.mark.parametrize("name", DATA)
def test_pairs_equal_those_of_brute_force(name: str) -> None:
    hashes = DATA[name]()
    for radius in RADII:
        pairs, distances = pairs_within(hashes, radius)
        assert (pairs.tolist(), distances.tolist()) == brute_force(hashes, hashes, radius, same=True)


@pytest.mark.parametrize("radius", [1, 2, 5, 6, 9, 12])
@pytest.mark.parametrize("name", ["uniform with planted pairs", "skewed", "few bits", "runs of ones"])
def test_every_block_plan_finds_the_same_pairs(name: str, radius: int, plan: None) -> None:
    hashes = DATA[name]()[-300:]
    pairs, distances = pairs_within(hashes, radius)
    assert (pairs.tolist(), distances.tolist()) == brute_force(hashes, hashes, radius, same=True)


@pytest.mark.parametrize("radius", [0, 1, 4, 8, 12])
def test_matches_equal_those_of_brute_force(radius: int, plan: None) -> None:
    left = np.concatenate([uniform(150), skewed(150), few_bits(50)])
    right = np.concatenate([flipped(left[:200]), skewed(80, seed=3), left[:20], left[:20]])
    pairs, distances = matches_between(left, right, radius)
    assert (pairs.tolist(), distances.tolist()) == brute_force(left, right, radius, same=False)


@pytest.mark.parametrize("blocks", [5, 6, 7, 9, 12])
def test_every_number_of_blocks_finds_each_pair_once(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.concatenate([skewed(300), flipped(uniform(100), most=5)])

    def these_blocks(left, right, radius):
        order = tuple(np.random.default_rng(blocks).permutation(64).tolist())
        return hash_plan.BlockPlan(radius, order, hash_plan.block_ends(blocks))

    monkeypatch.setattr(hash_index, "cheapest_plan", these_blocks)
    pairs, distances = pairs_within(hashes, 4)
    assert (pairs.tolist(), distances.tolist()) == brute_force(hashes, hashes, 4, same=True)


def test_planted_pairs_are_found_among_many_hashes() -> None:
    base = uniform(20_000)
    hashes = np.concatenate([base, flipped(base[:2000], most=6)])
    assert hash_plan.cheapest_plan(np.unique(hashes), None, 6).blocks > 6
    pairs, _ = pairs_within(hashes, 6)
    found = set(map(tuple, pairs.tolist()))
    assert {(i, 20_000 + i) for i in range(2000)} <= found


@pytest.mark.parametrize("radius", RADII)
def test_fewer_than_two_hashes_make_no_pairs(radius: int) -> None:
    for hashes in (uniform(0), uniform(1)):
        pairs, distances = pairs_within(hashes, radius)
        assert (pairs.shape, pairs.dtype, distances.shape, distances.dtype) == (
            (0, 2),
            np.int64,
            (0,),
            np.uint8,
        )
        assert len(matches_between(hashes, uniform(0), radius)[0]) == 0
        assert len(matches_between(uniform(0), hashes, radius)[0]) == 0
    assert matches_between(uniform(1), uniform(1), radius)[0].tolist() == [[0, 0]]


def test_memory_is_bounded_where_very_many_pairs_match() -> None:
    equal = np.full(6000, 3, np.uint64)  # 18 million pairs: 300 MB at once
    alike = few_bits(4000)
    tracemalloc.start()
    count = sum(len(pairs) for pairs, _ in iterate_pairs_within(equal, 2))
    between = sum(len(pairs) for pairs, _ in iterate_matches_between(alike, equal[:500], 12))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 6000 * 5999 // 2
    assert between == 4000 * 500  # at most ten bits, and two more
    assert most < 60e6


@pytest.mark.parametrize("radius", [-1, 17])
def test_a_radius_out_of_range_is_an_error(radius: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 16"):
        pairs_within(uniform(2), radius)


def test_hashes_of_another_type_are_an_error() -> None:
    with pytest.raises(ValueError, match="uint64"):
        pairs_within(np.array([1, 2]), 3)
    with pytest.raises(ValueError, match="uint64"):
        matches_between(uniform(2), uniform(4).reshape(2, 2), 3)
