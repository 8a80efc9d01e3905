"""Order the members of a pool by hash draws: each asker has an order of its own, which stays when the pool grows.

Ranking a whole pool for every asker would cost their product. So the members are placed on a line by a
hash; the line of a large pool is cut into buckets, their number a power of two, and an asker first reads
eight of them: 64 to 128 members on average, each with the same chance to be read. An asker that wants
more reads twice as many buckets next, and so on.

Members may have weights: the next member is then each of those left with a probability in proportion to its weight.
Its key is −ln(u) / weight, u a hash draw of asker and member, and the smallest key comes first. In a large pool a
member of a large weight has several places on the line, each of a weight of at most 1: the smallest of their keys is
distributed as the key of the whole weight.

The order depends on the asker and the members alone: a new member or a weight that changes alters the order of askers
that read its bucket and no other order, except where the pool outgrows its number of buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.hashing import hash_draw

WHOLE_POOL = 128
BUCKETS_READ = 8
# Members of a weighted pool that an asker reads as a whole.
WHOLE_WEIGHTED_POOL = 2048
# Places that a weighted pool has at most, beside one of each member. Weights of a larger sum are scaled.
MOST_PLACES = 2**21

# A Mersenne prime: the product of two numbers below it, and one more, fit in 64 bits.
_PRIME = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Pool:
    """The members from which options of a sample are chosen.

    Attributes:
        members: int64 [N], ordered by points; in a weighted pool once for each place.
        points: uint64 [N], a hash draw of each member.
        edges: int64 [buckets + 1], where each bucket begins; one bucket for a small pool.
        weights: float64 [N], above 0; None where all are equal.
    """

    members: NDArray[np.int64]
    points: NDArray[np.uint64]
    edges: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None


def make_pool(
    members: NDArray[np.int64],
    points: NDArray[np.uint64],
    weights: NDArray[np.float64] | None = None,
) -> Pool:
    """Return a pool.

    Args:
        members: int64 [N], in any order, each once.
        points: uint64 [N], a hash draw of each member.
        weights: float64 [N], above 0; None for equal ones.
    """
    whole = WHOLE_POOL
    if weights is not None and len(members) <= WHOLE_WEIGHTED_POOL:
        whole = WHOLE_WEIGHTED_POOL
    elif weights is not None:
        members, points, weights = _places(members, points, weights)
    order = np.lexsort((members, points))
    members, points = members[order], points[order]
    bits = 0 if len(members) <= whole else (len(members) // BUCKETS_READ).bit_length() - 1
    starts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else points[:0]
    edges = np.append(np.searchsorted(points, starts[1:]), len(members)).astype(np.int64)
    return Pool(members, points, np.insert(edges, 0, 0), None if weights is None else weights[order])


def _places(
    members: NDArray[np.int64], points: NDArray[np.uint64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64]]:
    """Return members, points and weights of the places: of each member as many as its weight needs."""
    weights = weights * min(1.0, MOST_PLACES / weights.sum())
    # The last digit of a power is not the same on every machine.
    counts = np.maximum(np.ceil(weights - 1e-9), 1).astype(np.int64)
    owners = np.repeat(np.arange(len(members)), counts)
    numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    of_place = np.minimum(weights[owners] - numbers, 1.0)
    return members[owners], _mixed(points[owners] + numbers.astype(np.uint64)), of_place


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers that look independent where the given ones are close to each other (the end of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def make_pools(
    keys: NDArray[Any],
    members: NDArray[np.int64],
    points: NDArray[np.uint64],
    weights: NDArray[np.float64] | None = None,
) -> dict[Any, Pool]:
    """Return one pool for each different key.

    Args:
        keys: [N], of each member.
        members: int64 [N], in any order.
        points: uint64 [N], a hash draw of each member.
        weights: float64 [N], above 0; None for equal ones.
    """
    if len(keys) == 0:
        return {}
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    pieces = np.split(order, starts[1:])
    return {
        key: make_pool(members[piece], points[piece], None if weights is None else weights[piece])
        for key, piece in zip(found.tolist(), pieces, strict=True)
    }


def hash_ordered_members(pool: Pool, seed: int, purpose: str, asker: str) -> Iterator[int]:
    """Yield every member of the pool in the asker's order: once, or in a weighted pool once for each place.

    Args:
        pool: the pool of the members.
        seed: seed of the hash draws.
        purpose: purpose of the hash draws; another one gives another order.
        asker: name of the asker, e.g. a sample's id.
    """
    if len(pool.members) == 0:
        return
    # An affine map chosen by the asker's hash orders the members' hashes: pairwise independent, one hash per asker
    # instead of one per asker and member. Equal values, at most one in 2^31 pairs, stay in the pool's order.
    mixed = hash_draw(seed, purpose, asker)
    factor, shift = np.uint64(mixed % (_PRIME - 1) + 1), np.uint64((mixed >> 32) % _PRIME)

    def ordered(indices: NDArray[np.int64]) -> list[int]:
        numbers = (pool.points[indices] % np.uint64(_PRIME) * factor + shift) % np.uint64(_PRIME)
        keys: NDArray[Any] = numbers
        if pool.weights is not None:
            keys = -np.log((_PRIME - numbers.astype(np.float64)) / _PRIME) / pool.weights[indices]
        members: list[int] = pool.members[indices[np.argsort(keys, kind="stable")]].tolist()
        return members

    buckets = len(pool.edges) - 1
    if buckets == 1:
        yield from ordered(np.arange(len(pool.members)))
        return
    first = hash_draw(seed, f"{purpose}:bucket", asker)
    # An odd stride visits different buckets, since their number is a power of two.
    stride = first >> 32 | 1
    start, stop = 0, BUCKETS_READ
    while start < buckets:
        turns = np.arange(start, min(stop, buckets), dtype=np.uint64)
        read = np.sort((np.uint64(first) + turns * np.uint64(stride)) % np.uint64(buckets)).astype(np.int64)
        sizes = pool.edges[read + 1] - pool.edges[read]
        before = np.repeat(pool.edges[read] - (np.cumsum(sizes) - sizes), sizes)
        yield from ordered(before + np.arange(len(before)))
        start, stop = stop, stop + 2 * (stop - start)
