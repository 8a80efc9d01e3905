"""How to cut 64-bit hashes into blocks so that searching them costs least (see `hash_index`).

A plan changes the time a search takes and never its result. Its cost is counted in a sample of the hashes: how many
have equal blocks and so are compared, and how often a pair within the radius is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.hashing import hash_order

BITS = 64
LARGE_BUCKET = 1 << 12  # comparisons above which a bucket is worth tiles of its own

_PERMUTATIONS = 4
_MOST_CHOICES = 300  # of blocks, each of which sorts all hashes once
_SAMPLE = 4096
_SMALL = 10_000_000  # comparisons below which planning costs more than it saves
# Cost in ns, measured: of arranging and sorting a hash for one choice of blocks, of one comparison in a small bucket,
# in a large one or where all are compared with all, and of a pair each time it is met.
_SORT_COST, _COMPARISON_COST, _TILE_COST, _MATCH_COST = 150.0, 6.0, 1.5, 50.0

_Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to search: `order` lists the 64 bits, most significant first; `ends` are the blocks' ends in it."""

    radius: int
    order: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """The number of blocks that a hash is divided into."""
        return len(self.ends)

    def choices(self) -> list[tuple[int, ...]]:
        """Return the choices of blocks that are compared, in the order in which a pair is first met."""
        return list(combinations(range(self.blocks), self.blocks - self.radius))

    def block_bits(self, block: int) -> tuple[int, ...]:
        """Return the bits of a block, numbered from the least significant of a hash."""
        return self.order[self.ends[block - 1] if block else 0 : self.ends[block]]


def cheapest_plan(left: _Hashes, right: _Hashes | None, radius: int) -> Plan:
    """Return the plan of least estimated cost for distinct hashes; `right` of None: pairs within `left`."""
    n, m = len(left), len(left if right is None else right)
    pairs = n * (n - 1) / 2 if right is None else float(n * m)
    everything = Plan(radius, tuple(range(BITS)), block_ends(radius))
    if pairs <= _SMALL:
        return everything
    sample = _sampled(left)
    other = None if right is None else _sampled(right)
    near = _near_in_sample(sample, other, radius)
    scale = pairs / (len(sample) * (len(sample) - 1) / 2 if other is None else len(sample) * len(other))
    sorting = (n if right is None else n + m) * _SORT_COST
    best, best_cost = everything, pairs * _TILE_COST + len(near) * scale * _MATCH_COST
    for blocks in range(radius + 1, BITS + 1):
        choices = comb(blocks, radius)
        if (choices > _MOST_CHOICES and blocks > radius + 1) or choices * sorting >= best_cost:
            break
        for attempt in range(_PERMUTATIONS):
            order = tuple(hash_order(range(BITS), 0, "hash_index", str(attempt)))
            plan = Plan(radius, order, block_ends(blocks))
            compared = sum(_comparison_cost(sample, other, plan, choice, scale) for choice in plan.choices())
            cost = choices * sorting + compared + _times_met(near, plan) * scale * _MATCH_COST
            if cost < best_cost:
                best, best_cost = plan, cost
    return best


def block_ends(blocks: int) -> tuple[int, ...]:
    """Return the ends of so many blocks of 64 bits, as equal as can be."""
    return tuple(BITS * (block + 1) // blocks for block in range(blocks))


def _sampled(values: _Hashes) -> _Hashes:
    """Return at most _SAMPLE of the values, spread by multiplication with a prime."""
    if len(values) <= _SAMPLE:
        return values
    positions: NDArray[np.int64] = np.arange(_SAMPLE, dtype=np.int64) * 2_654_435_761 % len(values)
    return values[np.unique(positions)]


def _near_in_sample(left: _Hashes, right: _Hashes | None, radius: int) -> _Hashes:
    """Return the XOR of every pair of the sample within the radius."""
    found = [np.empty(0, np.uint64)]
    for row, value in enumerate(left):
        differences = (left[row + 1 :] if right is None else right) ^ value
        found.append(differences[np.bitwise_count(differences) <= radius])
    return np.concatenate(found)


def _mask(plan: Plan, blocks: tuple[int, ...]) -> np.uint64:
    return np.uint64(sum(1 << bit for block in blocks for bit in plan.block_bits(block)))


def _times_met(near: _Hashes, plan: Plan) -> int:
    """Return how often the pairs are met: once for every choice among the blocks on which they agree."""
    agreeing = np.zeros(len(near), np.int64)
    for block in range(plan.blocks):
        agreeing += (near & _mask(plan, (block,))) == 0
    counts = np.bincount(agreeing, minlength=plan.blocks + 1).tolist()
    return sum(count * comb(agree, plan.blocks - plan.radius) for agree, count in enumerate(counts))


def _comparison_cost(
    left: _Hashes, right: _Hashes | None, plan: Plan, choice: tuple[int, ...], scale: float
) -> float:
    """Return what the comparisons of one choice cost, from the sample's pairs with equal keys."""
    mask = _mask(plan, choice)
    keys, counts = np.unique(left & mask, return_counts=True)
    if right is None:
        equal = counts * (counts - 1) // 2
    else:
        other_keys, other_counts = np.unique(right & mask, return_counts=True)
        _, a, b = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
        equal = counts[a] * other_counts[b]
    compared = equal * scale
    # One pair in the sample may stand for many small buckets as well as for a large one.
    large = (equal > 1) & (compared > LARGE_BUCKET)
    return float(compared[large].sum() * _TILE_COST + compared[~large].sum() * _COMPARISON_COST)
