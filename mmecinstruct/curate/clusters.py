"""Clusters of products that must stay on one side of a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def connected_components(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each node's component, named by the component's smallest node."""
    parent = {node: node for node in nodes}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return {node: root(node) for node in parent}


def same_item_edges(product_ids: Iterable[str], families: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return edges between ids that name one item in two sources, e.g. `amazon18:B01` and `esci:B01`.

    families: source prefix -> identifier family; prefixes of one family share their identifiers.
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
