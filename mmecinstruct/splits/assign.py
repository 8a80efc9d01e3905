"""Assign samples to splits so that no group crosses splits.

One assignment serves all tasks, since models train on all of them. Products go by unit: what never crosses splits,
such as a near-duplicate cluster. A unit with a product of an out-of-domain (OOD) category belongs to test_ood, where
samples of its other categories are rejected. Units with relevance judgements go with the queries that they were judged
for (`judged`), all others by a hash, or by community of related units. A query goes with most of its products. Users
are assigned by a hash of their id.

A sample takes the split of its products; for MPC and PSI the query must have the same split; SR takes the split of its
user. A sample whose groups are in different splits is rejected.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD
from mmecinstruct.splits.communities import label_propagation
from mmecinstruct.splits.judged import (
    CODED_SPLITS,
    JudgedPairs,
    deal_out,
    split_by_hash,
    split_queries,
    split_units,
)
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.names import same_categories
from mmecinstruct.text.words import normalised_text

STAGE = "split"
# The largest share of all units in one community. Without it one community could hold a small shop.
MAX_COMMUNITY_SHARE = 0.1


@dataclass(frozen=True)
class Assignment:
    """The splits of products and queries, and the categories of test_ood.

    Attributes:
        cluster_of: The cluster_id of each product_id.
        split_of: The split of each cluster_id.
        ood_categories: Out-of-domain categories.
        group_of: The group of each product_id, None where it has none.
        cut_off: Products near one of an earlier split.
        split_of_query: The split of each query with judgements, by its key.
    """

    cluster_of: Mapping[str, str]
    split_of: Mapping[str, str]
    ood_categories: frozenset[str] = frozenset()
    group_of: Mapping[str, str | None] = field(default_factory=dict)
    cut_off: frozenset[str] = frozenset()
    split_of_query: Mapping[str, str] = field(default_factory=dict)

    def is_outside(self, category: object) -> bool:
        """Tell whether a category is out of domain, however it is spelled."""
        return bool(same_categories(self.ood_categories, [str(category or "")]))


@dataclass(frozen=True)
class Splits:
    """The splits of units, and of queries with judgements, by their keys."""

    units: dict[str, str]
    queries: dict[str, str]


def assign_products(
    unit_of: Mapping[str, str],
    outside: Collection[str],
    settings: SplitSettings,
    seed: int,
    *,
    relations: Iterable[tuple[str, str]] = (),
    judged: Iterable[tuple[str, str]] = (),
    predicted: Mapping[str, str] | None = None,
) -> Splits:
    """Assign units of products to splits, and the queries that their products were judged for.

    Args:
        unit_of: The unit of each product_id.
        outside: Units with a product of an out-of-domain category.
        settings: The scheme and the shares.
        seed: The recipe's seed.
        relations: Pairs of product ids; read by the scheme `communities` only.
        judged: Pairs of a query's key (`query_key`) and a product id; those of unknown products are left out.
        predicted: Where judgements were sampled from larger tables: the splits of products that these assigned. They
            stand for the communities, which the sampled judgements do not show.
    """
    split_of = dict.fromkeys(outside, TEST_OOD)
    rest = sorted(set(unit_of.values()) - split_of.keys())
    names, pairs = _coded(unit_of, set(rest), judged)
    if settings.scheme == "communities":
        edges = [(unit_of[a], unit_of[b]) for a, b in relations if a in unit_of and b in unit_of]
        split_of |= _split_communities(rest, [*edges, *_edges(names, pairs)], settings, seed)
    elif predicted is not None:
        split_of |= _predicted(unit_of, predicted, split_of)
    else:
        codes = split_units(pairs, settings, seed)
        split_of |= {name: CODED_SPLITS[code] for name, code in zip(names, codes.tolist(), strict=True)}
    for unit in rest:
        if unit not in split_of:
            split_of[unit] = split_by_hash(settings, seed, "split:product", unit)
    of_unit = np.array([CODED_SPLITS.index(split_of[name]) for name in names], np.int8)
    of_query = split_queries(pairs, of_unit).tolist()
    return Splits(split_of, {key: CODED_SPLITS[code] for key, code in zip(pairs.keys, of_query, strict=True)})


def _coded(
    unit_of: Mapping[str, str], units: Collection[str], judged: Iterable[tuple[str, str]]
) -> tuple[list[str], JudgedPairs]:
    """Return the judged ones of `units` in order, and the pairs as codes."""
    found = sorted({(key, unit) for key, product in judged if (unit := unit_of.get(product, "")) in units})
    keys = list(dict.fromkeys(key for key, _ in found))
    names = sorted({unit for _, unit in found})
    of_key = {key: code for code, key in enumerate(keys)}
    of_name = {name: code for code, name in enumerate(names)}
    return names, JudgedPairs(
        np.fromiter((of_key[key] for key, _ in found), np.int64, len(found)),
        np.fromiter((of_name[unit] for _, unit in found), np.int64, len(found)),
        keys,
    )


def _edges(names: Sequence[str], pairs: JudgedPairs) -> list[tuple[str, str]]:
    """Return edges that connect the units of each query: each with the first one."""
    first = np.unique(pairs.queries, return_index=True)[1][pairs.queries]
    return [(names[one], names[other]) for one, other in zip(pairs.units[first], pairs.units, strict=True)]


def _split_communities(
    units: Sequence[str], edges: Iterable[tuple[str, str]], settings: SplitSettings, seed: int
) -> dict[str, str]:
    """Return the splits of units, communities of related ones together."""
    communities = label_propagation(units, edges, seed, max(2, int(MAX_COMMUNITY_SHARE * len(units))))
    split_of = deal_out(Counter(communities.values()), settings, seed)
    return {unit: split_of[community] for unit, community in communities.items()}


def _predicted(
    unit_of: Mapping[str, str], predicted: Mapping[str, str], outside: Collection[str]
) -> dict[str, str]:
    """Return the split of each unit with predicted products: that of most of them."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for product, split in predicted.items():
        unit = unit_of.get(product)
        if unit is not None and unit not in outside and split in CODED_SPLITS:
            votes[unit][split] += 1
    return {
        unit: max(CODED_SPLITS, key=lambda split: (count[split], -CODED_SPLITS.index(split)))
        for unit, count in votes.items()
    }


def assign_samples(
    samples: Sequence[Mapping[str, object]],
    task: str,
    assignment: Assignment,
    settings: SplitSettings,
    seed: int,
) -> tuple[list[str | None], list[Rejection]]:
    """Assign samples to splits.

    Reasons: ood_user, crosses_splits, cut_off (`max_cluster_size` parted it from a near product), ood_product.

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
        sample["user_id"] for sample in samples if by_user and assignment.is_outside(sample["category"])
    }
    for sample in samples:
        if by_user:
            split, reason, detail = _split_of_user(sample, assignment, ood_users, settings, seed)
        else:
            split, reason, detail = _split_of_products(sample, task, assignment)
        splits.append(split)
        if split is None:
            rejections.append(Rejection(STAGE, reason, detail, "", str(sample["id"]), task))
    return splits, rejections


def _split_of_user(
    sample: Mapping[str, object],
    assignment: Assignment,
    ood_users: Collection[object],
    settings: SplitSettings,
    seed: int,
) -> tuple[str | None, str, str]:
    if assignment.is_outside(sample["category"]):
        return TEST_OOD, "", ""
    if sample["user_id"] in ood_users:
        return None, "ood_user", "the user also has an out-of-domain sequence"
    return split_by_hash(settings, seed, "split:user", str(sample["user_id"])), "", ""


def _split_of_products(
    sample: Mapping[str, object], task: str, assignment: Assignment
) -> tuple[str | None, str, str]:
    products: list[str] = sample["product_ids"]  # type: ignore[assignment]
    if cut_off := assignment.cut_off.intersection(products):
        return None, "cut_off", f"{min(cut_off)} is near a product of another split: see max_cluster_size"
    found = {assignment.split_of[assignment.cluster_of[product]] for product in products}
    # Queries have no domain, so only the product decides beside an OOD product.
    if sample["query_id"] is not None and found != {TEST_OOD}:
        found.add(assignment.split_of_query[query_words(sample)])
    if len(found) > 1:
        return None, "crosses_splits", " and ".join(name for name in SPLITS if name in found)
    (split,) = found
    if split == TEST_OOD and not TASKS[task].has_ood:
        return None, "ood_product", "the task has no out-of-domain test"
    # Else a category of test_ood would be one of train.
    if split == TEST_OOD and not assignment.is_outside(sample["category"]):
        return None, "ood_product", "it goes with an out-of-domain product, but its own category is in domain"
    return split, "", ""


def query_words(sample: Mapping[str, object]) -> str:
    """Return the key of a sample's query, see `query_key`."""
    return query_key(str(sample["query_id"]), json.loads(str(sample["fields"]))["query"])


def query_key(query_id: str, query: str) -> str:
    """Return the key of a query's split: its normalised words, or its id where it has no words."""
    return normalised_text(query) or query_id
