"""Find runs of equal values in sorted arrays and yield their pairs in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Pairs at a time: a few arrays of 2 MB, whatever the data.
CHUNK = 1 << 18

Positions = NDArray[np.int64]


def run_starts(values: NDArray[np.uint64]) -> Positions:
    """Return the position at which each run of equal values starts."""
    if len(values) == 0:
        return np.empty(0, np.int64)
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1]).astype(np.int64)


def ranges(firsts: Positions, counts: Positions) -> Iterator[tuple[Positions, Positions]]:
    """Yield the members of integer ranges, in pieces of at most CHUNK.

    Args:
        firsts: The first member of each row's range [n].
        counts: The number of members of each row's range [n].

    Yields:
        Rows [k] and members [k], one of firsts[row] to firsts[row] + counts[row] - 1 each.
    """
    rows = np.flatnonzero(counts)
    ends = np.cumsum(counts[rows])
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, CHUNK):
        end = min(begin + CHUNK, total)
        low, high = np.searchsorted(ends, [begin, end - 1], side="right")
        part = slice(int(low), int(high) + 1)
        # The number of this piece's items in each of its rows: the first and the last row may be cut.
        row_ends = np.minimum(ends[part], end)
        row_begins = np.maximum(ends[part] - counts[rows[part]], begin)
        sizes = row_ends - row_begins
        offset = firsts[rows[part]] + counts[rows[part]] - ends[part]
        yield np.repeat(rows[part], sizes), np.arange(begin, end) + np.repeat(offset, sizes)


def pairs_in_runs(starts: Positions, size: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs of positions i < j in the same run of an array, in pieces of at most CHUNK.

    Args:
        starts: The start of each run, see `run_starts`.
        size: The length of the array.

    Yields:
        Positions i [k] and j [k].
    """
    counts = np.diff(starts, append=size)
    followers = np.repeat(starts + counts, counts) - np.arange(size) - 1
    yield from ranges(np.arange(1, size + 1), followers)
