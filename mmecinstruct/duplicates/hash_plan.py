"""Choose the block plan of 64-bit hashes with the lowest search cost (see `hash_index`).

A block plan changes the time of a search and never its result. Its cost is estimated in a sample of the hashes: how
many have equal blocks and so are compared, and how often a pair within the radius is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.hashing import hash_order

BITS = 64
# Comparisons above which a bucket gets tiles of its own.
LARGE_BUCKET = 1 << 12

_PERMUTATIONS = 4
# Choices of blocks, each of which sorts all hashes once.
_MOST_CHOICES = 300
_SAMPLE = 4096
# Comparisons below which planning costs more than it saves.
_SMALL = 10_000_000
# Measured costs in ns: permuting and sorting a hash for one choice of blocks, one comparison in a small bucket, one in
# a large bucket or between all hashes, and a pair each time it is found.
_SORT_COST, _COMPARISON_COST, _TILE_COST, _MATCH_COST = 150.0, 6.0, 1.5, 50.0

_Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A division of the bits of a hash into blocks.

    Attributes:
        radius: Largest distance of a pair, in bits.
        order: The 64 bits, most significant first.
        ends: The end of each block in `order`.
    """

    radius: int
    order: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.ends)

    def choices(self) -> list[tuple[int, ...]]:
        """Return the choices of blocks that are compared, in the order in which they are searched."""
        return list(combinations(range(self.blocks), self.blocks - self.radius))

    def block_bits(self, block: int) -> tuple[int, ...]:
        """Return the bits of a block, numbered from the least significant of a hash."""
        return self.order[self.ends[block - 1] if block else 0 : self.ends[block]]


def cheapest_plan(left: _Hashes, right: _Hashes | None, radius: int) -> BlockPlan:
    """Return the block plan of the lowest estimated cost.

    Args:
        left: Distinct hashes [n].
        right: Distinct hashes [m]; None searches pairs within `left`.
        radius: Bits, from 0 to 16.
    """
    n, m = len(left), len(left if right is None else right)
    pairs = n * (n - 1) / 2 if right is None else float(n * m)
    everything = BlockPlan(radius, tuple(range(BITS)), block_ends(radius))
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
            plan = BlockPlan(radius, order, block_ends(blocks))
            compared = sum(_comparison_cost(sample, other, plan, choice, scale) for choice in plan.choices())
            cost = choices * sorting + compared + _times_found(near, plan) * scale * _MATCH_COST
            if cost < best_cost:
                best, best_cost = plan, cost
    return best


def block_ends(blocks: int) -> tuple[int, ...]:
    """Return the ends of blocks of 64 bits that are as equal as possible."""
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


def _mask(plan: BlockPlan, blocks: tuple[int, ...]) -> np.uint64:
    return np.uint64(sum(1 << bit for block in blocks for bit in plan.block_bits(block)))


def _times_found(near: _Hashes, plan: BlockPlan) -> int:
    """Return how often the pairs are found: once for every choice among the blocks on which they agree."""
    agreeing = np.zeros(len(near), np.int64)
    for block in range(plan.blocks):
        agreeing += (near & _mask(plan, (block,))) == 0
    counts = np.bincount(agreeing, minlength=plan.blocks + 1).tolist()
    return sum(count * comb(agree, plan.blocks - plan.radius) for agree, count in enumerate(counts))


def _comparison_cost(
    left: _Hashes, right: _Hashes | None, plan: BlockPlan, choice: tuple[int, ...], scale: float
) -> float:
    """Return the cost in ns of the comparisons of one choice, from the sample's pairs with equal keys."""
    mask = _mask(plan, choice)
    keys, counts = np.unique(left & mask, return_counts=True)
    if right is None:
        equal = counts * (counts - 1) // 2
    else:
        other_keys, other_counts = np.unique(right & mask, return_counts=True)
        _, a, b = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
        equal = counts[a] * other_counts[b]
    compared = equal * scale
    # A single pair in the sample may represent many small buckets instead of a large one.
    large = (equal > 1) & (compared > LARGE_BUCKET)
    return float(compared[large].sum() * _TILE_COST + compared[~large].sum() * _COMPARISON_COST)
