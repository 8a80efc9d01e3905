"""Cluster products that must stay in one split, with a bound on the size of a cluster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Edge = tuple[str, str]

# Sources whose ids are Amazon's item numbers: the same number is the same item.
IDENTIFIER_FAMILIES = {"abo": "asin", "amazon18": "asin", "amazon23": "asin", "esci": "asin"}


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of nodes.

    Attributes:
        cluster_of: The smallest node of each node's cluster.
        split: Number of connected components above the size limit.
        dropped: Number of edges between different clusters of a split component.
    """

    cluster_of: Mapping[str, str]
    split: int
    dropped: int

    def sizes(self) -> dict[int, int]:
        """Return the number of clusters of each size, by size."""
        return size_histogram(self.cluster_of)


class _Union:
    """Disjoint sets, each named by its smallest member."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.parent = {node: node for node in nodes}
        self.size = Counter(self.parent.keys())

    def root(self, node: str) -> str:
        parent = self.parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, a: str, b: str, limit: int | None = None) -> bool:
        """Join two sets unless they would exceed the limit; return whether they are one set now."""
        low, high = sorted((self.root(a), self.root(b)))
        if low == high:
            return True
        if limit is not None and self.size[low] + self.size[high] > limit:
            return False
        self.parent[high] = low
        self.size[low] += self.size[high]
        return True


def connected_components(nodes: Iterable[str], edges: Iterable[Edge]) -> dict[str, str]:
    """Return each node's component, named by the component's smallest node."""
    sets = _Union(nodes)
    for a, b in edges:
        sets.join(a, b)
    return {node: sets.root(node) for node in sets.parent}


def bounded_clusters(
    nodes: Sequence[str],
    edges: Sequence[tuple[str, str, float]],
    max_size: int,
    inseparable: Sequence[Edge] = (),
) -> Clusters:
    """Return the connected components; those above `max_size` are split by dropping their weakest edges.

    A component that is too large is built again: from its inseparable nodes, then from its strongest edge on (ties in
    order of the nodes). An edge that would make a cluster larger than allowed is skipped. The result depends on the
    edges alone, not on their order.

    Args:
        nodes: The names of all nodes.
        edges: (node, node, strength).
        max_size: The largest number of nodes of a cluster, unless more are inseparable.
        inseparable: Pairs of nodes of one component that stay in one cluster.

    Returns:
        The clusters, and how much was split.
    """
    component = connected_components(nodes, ((a, b) for a, b, _ in edges))
    sizes = Counter(component.values())
    too_large = {name for name, size in sizes.items() if size > max_size}
    if not too_large:
        return Clusters(component, 0, 0)
    inside = [edge for edge in edges if component[edge[0]] in too_large]
    sets = _Union(node for node, name in component.items() if name in too_large)
    for a, b in inseparable:
        if component[a] in too_large:
            sets.join(a, b)
    for a, b, _ in sorted(inside, key=lambda edge: (-edge[2], min(edge[:2]), max(edge[:2]))):
        sets.join(a, b, max_size)
    cluster_of = {node: sets.root(node) if name in too_large else name for node, name in component.items()}
    dropped = sum(cluster_of[a] != cluster_of[b] for a, b, _ in inside)
    return Clusters(cluster_of, len(too_large), dropped)


def size_histogram(cluster_of: Mapping[str, str]) -> dict[int, int]:
    """Return the number of clusters of each size, by size."""
    return dict(sorted(Counter(Counter(cluster_of.values()).values()).items()))


def members(cluster_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the sorted members of each cluster."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in sorted(cluster_of):
        found[cluster_of[node]].append(node)
    return dict(found)


def same_item_edges(product_ids: Iterable[str], families: Mapping[str, str]) -> list[Edge]:
    """Return edges between ids that name one item in two sources, e.g. `amazon18:B01` and `esci:B01`.

    Args:
        product_ids: Ids with the prefix of their source.
        families: The identifier family of each prefix. Prefixes of one family share their identifiers.

    Returns:
        (first id, other id) for each item with several ids.
    """
    first: dict[tuple[str, str], str] = {}
    edges = []
    for product_id in sorted(product_ids):
        prefix, _, key = product_id.partition(":")
        family = families.get(prefix)
        if family is None:
            continue
        if (family, key) in first:
            edges.append((first[family, key], product_id))
        else:
            first[family, key] = product_id
    return edges
