"""Clusters of products and their size limit."""

from __future__ import annotations

import random

from mmecinstruct.duplicates.clusters import (
    bounded_clusters,
    connected_components,
    members,
    same_item_edges,
    size_histogram,
)


def test_components_are_named_by_their_smallest_member() -> None:
    assert connected_components("abcd", [("c", "b"), ("d", "c")]) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_the_same_item_number_in_two_sources_is_an_edge() -> None:
    assert same_item_edges(["x:1", "y:1", "z:1"], {"x": "f", "y": "f"}) == [("x:1", "y:1")]


def test_components_within_the_limit_stay_whole() -> None:
    clusters = bounded_clusters("abcde", [("a", "b", 0.1), ("b", "c", 0.1), ("d", "e", 9.0)], 3)
    assert clusters.cluster_of == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
    assert (clusters.split, clusters.dropped) == (0, 0)
    assert clusters.sizes() == {2: 1, 3: 1}


def test_a_component_above_the_limit_loses_its_weakest_edges() -> None:
    edges = [("a", "b", 3.0), ("b", "c", 1.0), ("c", "d", 3.0), ("d", "a", 0.5), ("x", "y", 0.1)]
    clusters = bounded_clusters("abcdxy", edges, 2)
    assert clusters.cluster_of == {"a": "a", "b": "a", "c": "c", "d": "c", "x": "x", "y": "x"}
    assert (clusters.split, clusters.dropped) == (1, 2)


def test_the_size_limit_holds_for_any_order_of_edges() -> None:
    rng = random.Random(3)
    nodes = [f"n{number:03d}" for number in range(300)]
    edges = [(*rng.sample(nodes, 2), round(rng.random(), 1)) for _ in range(900)]
    clusters = bounded_clusters(nodes, edges, 20)
    assert max(clusters.sizes()) <= 20
    assert clusters.split == 1
    for _ in range(3):
        turned = [(b, a, strength) if rng.random() < 0.5 else (a, b, strength) for a, b, strength in edges]
        rng.shuffle(turned)
        assert bounded_clusters(rng.sample(nodes, len(nodes)), turned, 20) == clusters
    assert all(one <= node for node, one in clusters.cluster_of.items())


def test_inseparable_nodes_exceed_the_limit() -> None:
    edges = [("a", "b", 1.0), ("a", "c", 1.0), ("c", "d", 3.0), ("d", "e", 2.0)]
    clusters = bounded_clusters("abcde", edges, 2, [("b", "a"), ("a", "c")])
    assert clusters.cluster_of == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
    assert clusters.dropped == 1


def test_sizes_and_members_are_returned() -> None:
    cluster_of = {"b": "a", "a": "a", "c": "c"}
    assert size_histogram(cluster_of) == {1: 1, 2: 1}
    assert members(cluster_of) == {"a": ["a", "b"], "c": ["c"]}
