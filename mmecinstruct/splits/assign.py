"""Assign samples to splits so that no group crosses, and choose as many as the recipe wants.

One assignment serves all tasks, since models train on all of them. Products are assigned by near-duplicate
cluster (or by community of related clusters), users and queries by themselves, each by a hash; a query by its words,
since publishers give the same words several ids. A cluster that
holds a product of an out-of-domain (OOD) category is kept for test_ood. A sample takes the split of its products;
for MPC and PSI the query's must be the same; SR goes by its user. What crosses is rejected and counted.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw, hash_fraction
from mmecinstruct.duplicates.titles import normalised_text
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SPLITS, TEST, TEST_OOD, TRAIN, VALIDATION
from mmecinstruct.splits.communities import label_propagation
from mmecinstruct.tasks import TASKS

STAGE = "split"


@dataclass(frozen=True)
class Assignment:
    """Which split each product belongs to, and which categories are kept for test_ood."""

    cluster_of: Mapping[str, str]  # product_id -> cluster_id
    split_of: Mapping[str, str]  # cluster_id -> split
    ood_categories: frozenset[str] = frozenset()


def split_by_hash(settings: SplitSettings, seed: int, purpose: str, key: str) -> str:
    """Return train, validation or test for a key, by the recipe's shares."""
    fraction = hash_fraction(seed, purpose, key)
    if fraction < settings.train:
        return TRAIN
    return VALIDATION if fraction < settings.train + settings.validation else TEST


def assign_products(
    products: pa.Table, relations: Iterable[tuple[str, str]], settings: SplitSettings, seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Return (product_id -> cluster_id, cluster_id -> split).

    products: columns product_id, cluster_id, category. relations: pairs of product ids, used by the scheme
    `communities` only.
    """
    cluster_of = dict(
        zip(products["product_id"].to_pylist(), products["cluster_id"].to_pylist(), strict=True)
    )
    ood = set(settings.ood_categories)
    ood_clusters = {
        cluster
        for cluster, category in zip(
            products["cluster_id"].to_pylist(), products["category"].to_pylist(), strict=True
        )
        if category in ood
    }
    clusters = sorted(set(cluster_of.values()))
    split_of = dict.fromkeys(ood_clusters, TEST_OOD)
    rest = [cluster for cluster in clusters if cluster not in ood_clusters]
    if settings.scheme == "clusters":
        split_of.update({key: split_by_hash(settings, seed, "split:product", key) for key in rest})
        return cluster_of, split_of
    edges = [(cluster_of[a], cluster_of[b]) for a, b in relations if a in cluster_of and b in cluster_of]
    communities = label_propagation(rest, edges, seed)
    members: dict[str, list[str]] = defaultdict(list)
    for cluster, community in communities.items():
        members[community].append(cluster)
    # Few communities: a hash of each would miss the shares by far, so each goes to the split that lacks most.
    wanted = {TRAIN: settings.train, VALIDATION: settings.validation, TEST: settings.test}
    got: Counter[str] = Counter()
    for community in sorted(
        members, key=lambda name: (-len(members[name]), hash_draw(seed, "split:community", name))
    ):
        split = max(wanted, key=lambda name: (wanted[name] * len(rest) - got[name], name == TRAIN))
        got[split] += len(members[community])
        split_of.update(dict.fromkeys(members[community], split))
    return cluster_of, split_of


def assign_samples(
    samples: Sequence[Mapping[str, object]],
    task: str,
    assignment: Assignment,
    settings: SplitSettings,
    seed: int,
) -> tuple[list[str | None], list[Rejection]]:
    """Assign the samples of one task to splits.

    Args:
        samples: all of the task: rows with id, category, product_ids, user_id, query_id, fields (UNRENDERED).
        task: its full name.
        assignment: the products' splits.
        settings: shares of the splits.
        seed: of the hashes.

    Returns:
        The split of each sample or None, and a rejection for each None.
    """
    splits: list[str | None] = []
    rejections = []
    by_user = TASKS[task].splits_by_user
    ood_users = {
        sample["user_id"] for sample in samples if by_user and sample["category"] in assignment.ood_categories
    }
    for sample in samples:
        if by_user:
            split, reason, detail = _split_of_user(sample, assignment, ood_users, settings, seed)
        else:
            split, reason, detail = _split_of_products(sample, task, assignment, settings, seed)
        splits.append(split)
        if split is None:
            rejections.append(Rejection(STAGE, reason, detail, task, str(sample["id"])))
    return splits, rejections


def _split_of_user(
    sample: Mapping[str, object],
    assignment: Assignment,
    ood_users: Collection[object],
    settings: SplitSettings,
    seed: int,
) -> tuple[str | None, str, str]:
    if sample["category"] in assignment.ood_categories:
        return TEST_OOD, "", ""
    if sample["user_id"] in ood_users:
        return None, "ood_user", "the user also has an out-of-domain sequence"
    return split_by_hash(settings, seed, "split:user", str(sample["user_id"])), "", ""


def _split_of_products(
    sample: Mapping[str, object], task: str, assignment: Assignment, settings: SplitSettings, seed: int
) -> tuple[str | None, str, str]:
    products: list[str] = sample["product_ids"]  # type: ignore[assignment]
    found = {assignment.split_of[assignment.cluster_of[product]] for product in products}
    if sample["query_id"] is not None:
        # A query is in no domain of its own, so beside an OOD product only the product decides.
        query_split = split_by_hash(settings, seed, "split:query", query_words(sample))
        if found != {TEST_OOD}:
            found.add(query_split)
    if len(found) > 1:
        return None, "crosses_splits", " and ".join(name for name in SPLITS if name in found)
    (split,) = found
    if split == TEST_OOD and not TASKS[task].has_ood:
        return None, "ood_product", "the task has no out-of-domain test"
    return split, "", ""


def query_words(sample: Mapping[str, object]) -> str:
    """Return the normalised words of a sample's query; its id where it consists of signs alone."""
    return query_key(str(sample["query_id"]), json.loads(str(sample["fields"]))["query"])


def query_key(query_id: str, query: str) -> str:
    """Return what decides a query's split: its normalised words, or its id where it consists of signs alone."""
    return normalised_text(query) or query_id
