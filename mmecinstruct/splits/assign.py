"""Assign samples to splits so that no group crosses splits.

One assignment serves all tasks, since models train on all of them. Each group is assigned by a hash: products by
near-duplicate cluster (or by community of related clusters), users by their id, and queries by their words, since
publishers give the same words several ids. A cluster with a product of an out-of-domain (OOD) category belongs to
test_ood. A sample takes the split of its products; for MPC and PSI the query must have the same split; SR takes the
split of its user. A sample whose groups are in different splits is rejected.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw, hash_fraction
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SPLITS, TEST, TEST_OOD, TRAIN, VALIDATION
from mmecinstruct.splits.communities import label_propagation
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.words import normalised_text

STAGE = "split"


@dataclass(frozen=True)
class Assignment:
    """The splits of products, and the categories of test_ood.

    Attributes:
        cluster_of: The cluster_id of each product_id.
        split_of: The split of each cluster_id.
        ood_categories: Out-of-domain categories.
    """

    cluster_of: Mapping[str, str]
    split_of: Mapping[str, str]
    ood_categories: frozenset[str] = frozenset()


def split_by_hash(settings: SplitSettings, seed: int, purpose: str, key: str) -> str:
    """Return train, validation or test for a key, by the recipe's shares.

    Args:
        settings: The shares of the splits.
        seed: The recipe's seed.
        purpose: The purpose of the hash draw.
        key: The key, such as the id of a cluster.
    """
    fraction = hash_fraction(seed, purpose, key)
    if fraction < settings.train:
        return TRAIN
    return VALIDATION if fraction < settings.train + settings.validation else TEST


def assign_products(
    products: pa.Table, relations: Iterable[tuple[str, str]], settings: SplitSettings, seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Assign clusters of products to splits.

    Args:
        products: Columns product_id, cluster_id, category.
        relations: Pairs of product ids; read by the scheme `communities` only.
        settings: The scheme, the shares and the out-of-domain categories.
        seed: The recipe's seed.

    Returns:
        The cluster_id of each product_id, and the split of each cluster_id.
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
    # Hashing few communities would miss the shares by far, so each goes to the split that lacks most.
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
    """Assign samples to splits.

    Reasons: ood_user, crosses_splits, ood_product.

    Args:
        samples: Rows with id, category, product_ids, user_id, query_id, fields (samples.UNRENDERED).
        task: The full name of the task.
        assignment: The splits of products, and the categories of test_ood.
        settings: The shares of the splits.
        seed: The recipe's seed.

    Returns:
        The split of each sample, None for a rejected one, and one rejection for each None.
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
        # Queries have no domain, so only the product decides beside an OOD product.
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
    """Return the key of a sample's query, see `query_key`."""
    return query_key(str(sample["query_id"]), json.loads(str(sample["fields"]))["query"])


def query_key(query_id: str, query: str) -> str:
    """Return the key of a query's split: its normalised words, or its id where it has no words."""
    return normalised_text(query) or query_id
