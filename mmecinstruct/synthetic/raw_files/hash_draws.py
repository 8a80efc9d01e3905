"""Hash draws for arrays: the hash of (seed, purpose, record numbers) for many records at once.

`mmecinstruct.core.hashing` takes a microsecond for the MD5 of one text; here a record takes nanoseconds.
"""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.hashing import hash_draw

Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: Words) -> Words:
    """Return a bijective 64-bit hash of each number: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


@cache
def _key(seed: int, purpose: str) -> np.uint64:
    return np.uint64(hash_draw(seed, "miniature", purpose))


class HashDraws:
    """Hash draws of one seed.

    Every method takes a purpose and the ids of the records, arrays of one shape.
    """

    def __init__(self, seed: int) -> None:
        """Create the hash draws of a seed."""
        self.seed = seed

    def words(self, purpose: str, *ids: Numbers) -> Words:
        """Return 64 random bits per record."""
        state = mixed(ids[0].astype(np.uint64) * _GOLDEN + _key(self.seed, purpose))
        for more in ids[1:]:
            state = mixed(state + more.astype(np.uint64) * _GOLDEN)
        return state

    def fractions(self, purpose: str, *ids: Numbers) -> NDArray[np.float64]:
        """Return a number from [0, 1) per record."""
        return (self.words(purpose, *ids) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, bound: int | Numbers, purpose: str, *ids: Numbers) -> Numbers:
        """Return a whole number from 0 to bound - 1 per record; bound is below 2**31."""
        high = self.words(purpose, *ids) >> np.uint64(32)
        return ((high * np.asarray(bound).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)

    def chance(self, share: float, purpose: str, *ids: Numbers) -> NDArray[np.bool_]:
        """Return a mask of the records that are in a share of all records."""
        return self.fractions(purpose, *ids) < share

    def kinds(self, shares: tuple[float, ...], purpose: str, *ids: Numbers) -> Numbers:
        """Return 1, 2, … for records in the first, second, … share; 0 for the rest."""
        edges = np.cumsum(shares)
        position = np.searchsorted(edges, self.fractions(purpose, *ids), side="right")
        return np.where(position == len(edges), 0, position + 1)


def spread(numbers: Numbers, size: int) -> Numbers:
    """Return a permutation of the numbers below `size` that puts neighbours far apart."""
    step = max(1, int(size * 0.6180339887) | 1)
    while gcd(step, size) != 1:
        step += 2
    return numbers * step % size
