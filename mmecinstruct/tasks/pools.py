"""Order the members of a pool by hash draws: each asker has an order of its own, which stays when the pool grows.

Ranking a whole pool for every asker would cost their product. So the members are placed on a line by a
hash; the line of a large pool is cut into buckets, their number a power of two, and an asker first reads
eight of them: 64 to 128 members on average, each with the same chance to be read. Only an asker that wants
more reads the rest.

The order depends on the asker and the members alone: a new member appears in the order of askers that read
its bucket and changes no other order, except where the pool outgrows its number of buckets.
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

# A Mersenne prime: the product of two numbers below it, and one more, fit in 64 bits.
_PRIME = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Pool:
    """The members from which options of a sample are chosen.

    Attributes:
        members: int64 [N], each once, ordered by points.
        points: uint64 [N], a hash draw of each member.
        edges: int64 [buckets + 1], where each bucket begins; one bucket for a small pool.
    """

    members: NDArray[np.int64]
    points: NDArray[np.uint64]
    edges: NDArray[np.int64]


def make_pool(members: NDArray[np.int64], points: NDArray[np.uint64]) -> Pool:
    """Return a pool.

    Args:
        members: int64 [N], in any order.
        points: uint64 [N], a hash draw of each member.
    """
    order = np.lexsort((members, points))
    members, points = members[order], points[order]
    bits = 0 if len(members) <= WHOLE_POOL else (len(members) // BUCKETS_READ).bit_length() - 1
    starts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else points[:0]
    edges = np.append(np.searchsorted(points, starts[1:]), len(members)).astype(np.int64)
    return Pool(members, points, np.insert(edges, 0, 0))


def make_pools(keys: NDArray[Any], members: NDArray[np.int64], points: NDArray[np.uint64]) -> dict[Any, Pool]:
    """Return one pool for each different key.

    Args:
        keys: [N], of each member.
        members: int64 [N], in any order.
        points: uint64 [N], a hash draw of each member.
    """
    if len(keys) == 0:
        return {}
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    pieces = np.split(order, starts[1:])
    return {
        key: make_pool(members[piece], points[piece])
        for key, piece in zip(found.tolist(), pieces, strict=True)
    }


def hash_ordered_members(pool: Pool, seed: int, purpose: str, asker: str) -> Iterator[int]:
    """Yield every member of the pool once, in the asker's order.

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
        members: list[int] = pool.members[indices[np.argsort(numbers, kind="stable")]].tolist()
        return members

    buckets = len(pool.edges) - 1
    if buckets == 1:
        yield from ordered(np.arange(len(pool.members)))
        return
    first = hash_draw(seed, f"{purpose}:bucket", asker)
    # An odd stride visits different buckets, since their number is a power of two.
    stride = first >> 32 | 1
    first_buckets = sorted((first + turn * stride) % buckets for turn in range(BUCKETS_READ))
    yield from ordered(np.concatenate([np.arange(pool.edges[b], pool.edges[b + 1]) for b in first_buckets]))
    rest = np.ones(len(pool.members), dtype=bool)
    for bucket in first_buckets:
        rest[pool.edges[bucket] : pool.edges[bucket + 1]] = False
    yield from ordered(np.flatnonzero(rest))
