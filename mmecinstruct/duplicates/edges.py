"""Leave out edges of nodes that have very many, without parting a connected component."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.duplicates.runs import Positions

# Edges in memory before some are left out.
_AT_ONCE = 1 << 22
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)

Weights = NDArray[np.float64]


def thinned(
    pieces: Iterable[tuple[Positions, Weights]], contents: NDArray[np.uint64], most: int
) -> tuple[Positions, Weights]:
    """Return the edges that are among the `most` first ones of one of their two nodes, and those that join components.

    The order is that of a hash of both nodes. All edges are kept where no node has more than `most`.

    Args:
        pieces: Edges [n, 2], each once, and their weights [n].
        contents: A hash of each node, which decides the order of edges.
        most: Edges of a node that are kept in any case.
    """
    edges, weights, waiting = [np.empty((0, 2), np.int64)], [np.empty(0)], 0
    for some, values in pieces:
        edges.append(some)
        weights.append(values)
        waiting += len(some)
        if waiting > _AT_ONCE:
            kept, kept_weights = _thinned(np.concatenate(edges), np.concatenate(weights), contents, most)
            edges, weights, waiting = [kept], [kept_weights], 0
    return _thinned(np.concatenate(edges), np.concatenate(weights), contents, most)


def _thinned(
    edges: Positions, weights: Weights, contents: NDArray[np.uint64], most: int
) -> tuple[Positions, Weights]:
    if not len(edges) or np.bincount(edges.ravel()).max() <= most:
        return edges, weights
    mixed = (contents[edges[:, 0]] + contents[edges[:, 1]]) * _ODD
    mixed ^= mixed >> _SHIFT
    ends = edges.T.ravel()
    order = np.lexsort((np.tile(mixed, 2), ends))
    starts = np.searchsorted(ends[order], ends[order], side="left")
    kept = np.zeros(len(edges), np.bool_)
    kept[(order % len(edges))[np.arange(len(ends)) - starts < most]] = True
    component = _components(edges[kept], len(contents))
    kept |= component[edges[:, 0]] != component[edges[:, 1]]
    return edges[kept], weights[kept]


def _components(edges: Positions, count: int) -> Positions:
    """Return the connected component of each node: its smallest node."""
    component = np.arange(count)
    while True:
        joined = component.copy()
        least = np.minimum(component[edges[:, 0]], component[edges[:, 1]])
        for side in (0, 1):
            np.minimum.at(joined, edges[:, side], least)
            # The root of a node takes its component, too: a chain of nodes needs few rounds.
            np.minimum.at(joined, component[edges[:, side]], least)
        joined = joined[joined]
        if np.array_equal(joined, component):
            return component
        component = joined
