"""Find all pairs of 64-bit hashes within a Hamming radius, exactly.

The 64 bits are cut into blocks. Two hashes that differ in at most r bits differ in at most r blocks, so of b
blocks they agree on b - r at least (pigeonhole; the tables of Manku, Jain and Sarma, WWW 2007). For every choice of
b - r blocks the hashes are sorted with those blocks first, and only hashes with equal blocks are compared: no pair
is missed, whatever the data. A pair that agrees on more blocks is found several times and kept once, under the first
choice it agrees on, so no found pair has to be stored.

Hashes of images are skewed: on a white ground many bits hardly vary, and blocks of such bits separate little. So
the bits are permuted first. The number of blocks and one of a few fixed permutations are chosen by counting, in a
sample of the hashes, how many comparisons each would cost (`hash_plan`). This changes the time and never the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.duplicates import runs
from mmecinstruct.duplicates.hash_plan import BITS, LARGE_BUCKET, BlockPlan, cheapest_plan
from mmecinstruct.duplicates.runs import Positions, ranges, run_starts

# Beyond a quarter of the bits unrelated hashes match.
MAX_RADIUS = 16

# Columns of a tile; rows follow from runs.CHUNK.
_TILE_SIDE = 4096

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]
Distances = NDArray[np.uint8]
# Left, right, distance in bits.
_Found = tuple[Positions, Positions, Distances]


def pairs_within(hashes: Hashes, radius: int) -> tuple[Pairs, Distances]:
    """Return all pairs of hashes that differ in at most `radius` bits, and their distances.

    The result takes 17 bytes a pair. Use `iterate_pairs_within` where very many match (a million equal hashes).

    Args:
        hashes: [n] uint64.
        radius: Bits, from 0 to MAX_RADIUS.

    Returns:
        Pairs [m, 2] int64 of positions i < j, sorted, each once, and distances [m] uint8 in bits.

    Raises:
        ValueError: The radius is out of range, or the hashes have another type or shape.
    """
    return _collected(iterate_pairs_within(hashes, radius))


def matches_between(left: Hashes, right: Hashes, radius: int) -> tuple[Pairs, Distances]:
    """Return all pairs of one hash of `left` and one of `right` that differ in at most `radius` bits.

    Args:
        left: [n] uint64.
        right: [m] uint64.
        radius: Bits, from 0 to MAX_RADIUS.

    Returns:
        Pairs [k, 2] int64 (position in left, position in right), sorted, each once, and distances [k] uint8 in bits.

    Raises:
        ValueError: The radius is out of range, or the hashes have another type or shape.
    """
    return _collected(iterate_matches_between(left, right, radius))


def iterate_pairs_within(hashes: Hashes, radius: int) -> Iterator[tuple[Pairs, Distances]]:
    """Yield the result of `pairs_within` in bounded pieces, each pair once, in an order set by the hashes."""
    _check(hashes, radius)
    members = _Members.of(hashes)
    yield from members.pairs_of_equal()
    for a, b, distances in _value_pairs(members.values, None, radius):
        for pairs, expanded in _expanded(members, members, a, b, distances):
            one, other = pairs[:, 0], pairs[:, 1]
            yield np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1), expanded


def iterate_matches_between(left: Hashes, right: Hashes, radius: int) -> Iterator[tuple[Pairs, Distances]]:
    """Yield the result of `matches_between` in bounded pieces, each pair once, in an order set by the hashes."""
    _check(left, radius)
    _check(right, radius)
    left_members, right_members = _Members.of(left), _Members.of(right)
    for a, b, distances in _value_pairs(left_members.values, right_members.values, radius):
        yield from _expanded(left_members, right_members, a, b, distances)


def _check(hashes: Hashes, radius: int) -> None:
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"a radius of {radius} bits is not from 0 to {MAX_RADIUS}")
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise ValueError(
            f"hashes have type {hashes.dtype} and shape {hashes.shape}; expected uint64 and one dimension"
        )


def _collected(pieces: Iterator[tuple[Pairs, Distances]]) -> tuple[Pairs, Distances]:
    found = list(pieces)
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(pair for pair, _ in found)])
    distances = np.concatenate([np.empty(0, np.uint8), *(distance for _, distance in found)])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], distances[order]


@dataclass(frozen=True, slots=True)
class _Members:
    """Distinct hashes, sorted, and the positions of each: `positions[starts[v]:starts[v] + counts[v]]`."""

    values: Hashes
    positions: Positions
    starts: Positions
    counts: Positions

    @classmethod
    def of(cls, hashes: Hashes) -> _Members:
        positions = np.argsort(hashes, kind="stable")
        sorted_hashes = hashes[positions]
        starts = run_starts(sorted_hashes)
        counts = np.diff(starts, append=len(hashes))
        return cls(sorted_hashes[starts], positions, starts, counts)

    def pairs_of_equal(self) -> Iterator[tuple[Pairs, Distances]]:
        """Yield the pairs of positions that hold the same hash, in pieces."""
        followers = np.repeat(self.starts + self.counts, self.counts) - np.arange(len(self.positions)) - 1
        for rows, others in ranges(np.arange(1, len(self.positions) + 1), followers):
            pairs = np.stack([self.positions[rows], self.positions[others]], axis=1)
            yield pairs, np.zeros(len(pairs), np.uint8)


def _expanded(
    left: _Members, right: _Members, a: Positions, b: Positions, distances: Distances
) -> Iterator[tuple[Pairs, Distances]]:
    """Yield, for pairs of distinct hashes, the pairs of positions that hold them."""
    single = (left.counts[a] == 1) & (right.counts[b] == 1)
    if single.any():
        pairs = np.empty((int(single.sum()), 2), np.int64)
        pairs[:, 0] = left.positions[left.starts[a[single]]]
        pairs[:, 1] = right.positions[right.starts[b[single]]]
        yield pairs, distances[single]
    a, b, distances = a[~single], b[~single], distances[~single]
    # First all positions of the left hash, then for each of them all positions of the right hash.
    for rows, slots in ranges(left.starts[a], left.counts[a]):
        for inner, other_slots in ranges(right.starts[b[rows]], right.counts[b[rows]]):
            pairs = np.stack([left.positions[slots[inner]], right.positions[other_slots]], axis=1)
            yield pairs, distances[rows[inner]]


def _value_pairs(left: Hashes, right: Hashes | None, radius: int) -> Iterator[_Found]:
    """Yield positions of distinct hashes within the radius, and distances; `right` of None: within `left`."""
    if radius == 0 or len(left) == 0 or (right is not None and len(right) == 0):
        if radius == 0 and right is not None:
            _, a, b = np.intersect1d(left, right, assume_unique=True, return_indices=True)
            yield a.astype(np.int64), b.astype(np.int64), np.zeros(len(a), np.uint8)
        return
    plan = cheapest_plan(left, right, radius)
    for choice in plan.choices():
        order, key_bits, masks = _arrangement(plan, choice)
        sorted_left = _Arranged(left, order)
        sorted_right = sorted_left if right is None else _Arranged(right, order)
        found = _within_buckets(sorted_left.values, sorted_right.values, right is None, key_bits, radius)
        for a, b, distances in _gathered(found):
            differences = sorted_left.values[a] ^ sorted_right.values[b]
            first = _first_found(differences, masks, plan.blocks - radius)
            yield sorted_left.positions(a[first]), sorted_right.positions(b[first]), distances[first]


def _gathered(pieces: Iterator[_Found]) -> Iterator[_Found]:
    """Join pieces to about CHUNK pairs: most tiles have too few matches to process each alone."""
    waiting: list[_Found] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece[0])
        if size >= runs.CHUNK:
            a, b, distances = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
            yield a, b, distances
            waiting, size = [], 0
    if waiting:
        a, b, distances = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
        yield a, b, distances


class _Arranged:
    """Distinct sorted hashes with their bits in another order, sorted again, and the way back to their positions.

    Sorting the numbers alone is twice as fast as sorting their positions with them. Few matches are looked up one by
    one; for many, all positions are computed once.
    """

    def __init__(self, hashes: Hashes, order: tuple[int, ...]) -> None:
        self._hashes, self._back = hashes, _tables(_inverse(order))
        self._requested = 0
        self._positions: Positions | None = None
        self.values = np.sort(_arranged(hashes, _tables(order)))

    def positions(self, rows: Positions) -> Positions:
        """Return the positions in the original hashes of these rows of `values`."""
        self._requested += len(rows)
        if self._positions is None and self._requested > len(self._hashes) // 4:
            self._positions = np.searchsorted(self._hashes, _arranged(self.values, self._back))
        if self._positions is not None:
            return self._positions[rows]
        return np.searchsorted(self._hashes, _arranged(self.values[rows], self._back))


def _arrangement(plan: BlockPlan, choice: tuple[int, ...]) -> tuple[tuple[int, ...], int, list[np.uint64]]:
    """Return the order of bits with the chosen blocks first, their number of bits, and each block's mask in it."""
    rest = [block for block in range(plan.blocks) if block not in choice]
    order: list[int] = []
    masks = [np.uint64(0)] * plan.blocks
    for block in (*choice, *rest):
        bits = plan.block_bits(block)
        for position in range(len(order), len(order) + len(bits)):
            masks[block] |= np.uint64(1 << (BITS - 1 - position))
        order.extend(bits)
    return tuple(order), sum(len(plan.block_bits(block)) for block in choice), masks


def _first_found(differences: Hashes, masks: list[np.uint64], chosen: int) -> NDArray[np.bool_]:
    """Return for which XORed pairs the chosen blocks are the first ones that agree.

    The chosen blocks always agree. They are the first if no other block before the last of them agrees, that is, if
    the number of agreeing blocks up to the last chosen one is `chosen`.
    """
    if chosen == 0 or len(differences) == 0:
        return np.ones(len(differences), np.bool_)
    # Chosen blocks hold the most significant bits, in their order: the last of them has the lowest mask among them.
    last = sorted(range(len(masks)), key=lambda block: -int(masks[block]))[chosen - 1]
    agreeing = np.zeros(len(differences), np.uint8)
    for mask in masks[: last + 1]:
        agreeing += (differences & mask) == 0
    return agreeing == chosen


def _tables(order: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return [8, 256]: the bits that each value of each byte sets where bit order[0] becomes the most significant."""
    target = [0] * BITS
    for position, bit in enumerate(order):
        target[bit] = BITS - 1 - position
    numbers = np.arange(256, dtype=np.uint64)
    tables = np.zeros((8, 256), np.uint64)
    for bit in range(BITS):
        tables[bit // 8] |= ((numbers >> np.uint64(bit % 8)) & np.uint64(1)) << np.uint64(target[bit])
    return tables


def _arranged(values: Hashes, tables: NDArray[np.uint64]) -> Hashes:
    """Return the values with their bits in another order: eight lookups per value."""
    result = np.zeros(len(values), np.uint64)
    for byte, table in enumerate(tables):
        result |= table[((values >> np.uint64(8 * byte)) & np.uint64(255)).astype(np.intp)]
    return result


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order that undoes `order`."""
    inverse = [0] * BITS
    for position, bit in enumerate(order):
        inverse[BITS - 1 - bit] = BITS - 1 - position
    return tuple(inverse)


def _within_buckets(left: Hashes, right: Hashes, same: bool, key_bits: int, radius: int) -> Iterator[_Found]:
    """Yield positions and distances of pairs with equal first `key_bits` bits within the radius; both sides sorted."""
    left_first, left_end, right_first, right_end = _buckets(left, right, same, key_bits)
    sizes = (left_end - left_first) * (right_end - right_first)
    small = sizes <= LARGE_BUCKET
    rows_of = left_end[small] - left_first[small]
    rows = np.arange(rows_of.sum()) + np.repeat(left_first[small] - np.cumsum(rows_of) + rows_of, rows_of)
    firsts = rows + 1 if same else np.repeat(right_first[small], rows_of)
    counts = np.repeat(right_end[small], rows_of) - firsts
    for row, b in ranges(firsts, counts):
        a = rows[row]
        distances = np.bitwise_count(left[a] ^ right[b])
        hits = np.flatnonzero(distances <= radius)
        if len(hits):
            yield a[hits], b[hits], distances[hits]
    for bucket in np.flatnonzero(~small).tolist():
        yield from _tiles(
            left,
            right,
            same,
            radius,
            (int(left_first[bucket]), int(left_end[bucket])),
            (int(right_first[bucket]), int(right_end[bucket])),
        )


def _buckets(
    left: Hashes, right: Hashes, same: bool, key_bits: int
) -> tuple[Positions, Positions, Positions, Positions]:
    """Return start and end, left and right, of the buckets that hold something to compare."""
    if key_bits == 0:
        zero = np.zeros(1, np.int64)
        return zero, zero + len(left), zero, zero + len(right)
    shift = np.uint64(BITS - key_bits)
    left_keys = left >> shift
    left_starts = run_starts(left_keys)
    left_ends = np.append(left_starts[1:], len(left))
    if same:
        several = left_ends - left_starts > 1
        return left_starts[several], left_ends[several], left_starts[several], left_ends[several]
    right_keys = right >> shift
    right_starts = run_starts(right_keys)
    right_ends = np.append(right_starts[1:], len(right))
    _, a, b = np.intersect1d(
        left_keys[left_starts], right_keys[right_starts], assume_unique=True, return_indices=True
    )
    return left_starts[a], left_ends[a], right_starts[b], right_ends[b]


def _tiles(
    left: Hashes,
    right: Hashes,
    same: bool,
    radius: int,
    left_range: tuple[int, int],
    right_range: tuple[int, int],
) -> Iterator[_Found]:
    """Yield the matches of one large bucket, tile by tile."""
    step = runs.CHUNK // _TILE_SIDE
    for top in range(left_range[0], left_range[1], step):
        rows = left[top : min(top + step, left_range[1]), None]
        for start in range(top if same else right_range[0], right_range[1], _TILE_SIDE):
            distances = np.bitwise_count(rows ^ right[None, start : min(start + _TILE_SIDE, right_range[1])])
            hits = np.flatnonzero(distances <= radius)
            if len(hits) == 0:
                continue
            rows_hit = hits // distances.shape[1]
            a, b = rows_hit + top, hits - rows_hit * distances.shape[1] + start
            found = distances.ravel()[hits]
            # The tile holds part of the diagonal.
            if same and start < top + step:
                above = a < b
                a, b, found = a[above], b[above], found[above]
            yield a, b, found
