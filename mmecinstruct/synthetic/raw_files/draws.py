"""Many draws at once: the hash of (seed, purpose, record numbers) for whole arrays of records.

The same idea as `mmecinstruct.core.hashing`, where MD5 of one text costs a microsecond; here a record costs
nanoseconds.
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
    """Return 64 bits of each number, one to one. Source: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


@cache
def _key(seed: int, purpose: str) -> np.uint64:
    return np.uint64(hash_draw(seed, "miniature", purpose))


class Draws:
    """Draws of one seed. Every method takes a purpose and the numbers that name the record, arrays of one shape."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def words(self, purpose: str, *ids: Numbers) -> Words:
        """Return 64 drawn bits per record."""
        state = mixed(ids[0].astype(np.uint64) * _GOLDEN + _key(self.seed, purpose))
        for more in ids[1:]:
            state = mixed(state + more.astype(np.uint64) * _GOLDEN)
        return state

    def fractions(self, purpose: str, *ids: Numbers) -> NDArray[np.float64]:
        """Return a draw from [0, 1) per record."""
        return (self.words(purpose, *ids) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, bound: int | Numbers, purpose: str, *ids: Numbers) -> Numbers:
        """Return a whole number from 0 to bound - 1 per record; bound is below 2**31."""
        high = self.words(purpose, *ids) >> np.uint64(32)
        return ((high * np.asarray(bound).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)

    def chance(self, share: float, purpose: str, *ids: Numbers) -> NDArray[np.bool_]:
        """Return which records a share of all falls on."""
        return self.fractions(purpose, *ids) < share

    def kinds(self, shares: tuple[float, ...], purpose: str, *ids: Numbers) -> Numbers:
        """Return 1, 2, … for records that fall on the first, second, … share; 0 for the rest."""
        edges = np.cumsum(shares)
        place = np.searchsorted(edges, self.fractions(purpose, *ids), side="right")
        return np.where(place == len(edges), 0, place + 1)


def spread(numbers: Numbers, size: int) -> Numbers:
    """Return other numbers below `size`, one to one for numbers below it: neighbours lie far apart."""
    step = max(1, int(size * 0.6180339887) | 1)
    while gcd(step, size) != 1:
        step += 2
    return numbers * step % size
