"""Find communities of related products by label propagation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mmecinstruct.core.hashing import hash_draw

MAX_PROPAGATION_ROUNDS = 50


def label_propagation(
    nodes: Sequence[str], edges: Iterable[tuple[str, str]], seed: int, limit: int
) -> dict[str, str]:
    """Find communities by asynchronous label propagation.

    The result is deterministic: nodes are visited in the order of a hash draw, the most frequent label of the
    neighbours wins, and ties are resolved by the same hash draw. A label stops spreading at `limit`
    nodes. Source: Raghavan, Albert and Kumara, Physical Review E 76 (2007) 036106.

    Args:
        nodes: All nodes.
        edges: Pairs of nodes; others and loops are ignored.
        seed: The recipe's seed.
        limit: The most nodes of a community.

    Returns:
        Each node's community, named by one of its nodes.
    """
    known = set(nodes)
    neighbours: dict[str, Counter[str]] = {node: Counter() for node in nodes}
    for a, b in edges:
        if a != b and a in known and b in known:
            neighbours[a][b] += 1
            neighbours[b][a] += 1
    label = {node: node for node in nodes}
    size = Counter(label.values())
    rank = {node: hash_draw(seed, "split:propagation", node) for node in nodes}
    order = sorted(nodes, key=lambda node: (rank[node], node))
    for _ in range(MAX_PROPAGATION_ROUNDS):
        changed = False
        for node in order:
            weights: Counter[str] = Counter()
            for neighbour, weight in neighbours[node].items():
                weights[label[neighbour]] += weight
            open_labels = [name for name in weights if name == label[node] or size[name] < limit]
            if not open_labels:
                continue
            best = max(open_labels, key=lambda name: (weights[name], name == label[node], rank[name], name))
            if best != label[node]:
                size[label[node]] -= 1
                size[best] += 1
                label[node] = best
                changed = True
        if not changed:
            break
    return label
