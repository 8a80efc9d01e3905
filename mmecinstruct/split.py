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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from mmecinstruct.duplicates.titles import normalised_text
from mmecinstruct.hashing import draw, draw_fraction
from mmecinstruct.recipe import Sizes, SplitSettings, TaskSettings
from mmecinstruct.rejections import Rejection
from mmecinstruct.samples import OOD_TASKS, SPLITS, TEST, TEST_OOD, TRAIN, VALIDATION

STAGE = "split"
SR = "sequential_recommendation"

# No community may hold more than this share of all clusters, or one would swallow a small shop.
MAX_COMMUNITY_SHARE = 0.1
MAX_PROPAGATION_ROUNDS = 50


@dataclass(frozen=True)
class Assignment:
    """Which split each product belongs to, and which users are kept for test_ood."""

    cluster_of: Mapping[str, str]  # product_id -> cluster_id
    split_of: Mapping[str, str]  # cluster_id -> split
    ood_categories: frozenset[str] = frozenset()
    ood_users: frozenset[str] = frozenset()


def split_by_hash(settings: SplitSettings, seed: int, purpose: str, key: str) -> str:
    """Return train, validation or test for a key, by the recipe's shares."""
    fraction = draw_fraction(seed, purpose, key)
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
        members, key=lambda name: (-len(members[name]), draw(seed, "split:community", name))
    ):
        split = max(wanted, key=lambda name: (wanted[name] * len(rest) - got[name], name == TRAIN))
        got[split] += len(members[community])
        split_of.update(dict.fromkeys(members[community], split))
    return cluster_of, split_of


def label_propagation(nodes: Sequence[str], edges: Iterable[tuple[str, str]], seed: int) -> dict[str, str]:
    """Return each node's community (named by one of its nodes): asynchronous label propagation.

    Deterministic: nodes are visited in a drawn but fixed order, the most frequent label of the neighbours wins,
    ties go to the label that is drawn first. A label stops spreading at MAX_COMMUNITY_SHARE of all nodes.
    Source: Raghavan, Albert and Kumara, Physical Review E 76 (2007) 036106.
    """
    known = set(nodes)
    neighbours: dict[str, Counter[str]] = {node: Counter() for node in nodes}
    for a, b in edges:
        if a != b and a in known and b in known:
            neighbours[a][b] += 1
            neighbours[b][a] += 1
    label = {node: node for node in nodes}
    size = Counter(label.values())
    limit = max(2, int(MAX_COMMUNITY_SHARE * len(nodes)))
    rank = {node: draw(seed, "split:propagation", node) for node in nodes}
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


def assign_samples(
    samples: Sequence[Mapping[str, object]],
    task: str,
    assignment: Assignment,
    settings: SplitSettings,
    seed: int,
) -> tuple[list[str | None], list[Rejection]]:
    """Return (the split of each sample or None, one rejection for each None).

    samples: rows with id, category, product_ids, user_id, query_id, fields (samples.UNRENDERED).
    """
    splits: list[str | None] = []
    rejections = []
    for sample in samples:
        split, reason, detail = _sample_split(sample, task, assignment, settings, seed)
        splits.append(split)
        if split is None:
            rejections.append(Rejection(STAGE, reason, detail, task, str(sample["id"])))
    return splits, rejections


def _sample_split(
    sample: Mapping[str, object], task: str, assignment: Assignment, settings: SplitSettings, seed: int
) -> tuple[str | None, str, str]:
    if task == SR:
        user = str(sample["user_id"])
        if sample["category"] in assignment.ood_categories:
            return TEST_OOD, "", ""
        if user in assignment.ood_users:
            return None, "ood_user", "the user also has an out-of-domain sequence"
        return split_by_hash(settings, seed, "split:user", user), "", ""
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
    if split == TEST_OOD and task not in OOD_TASKS:
        return None, "ood_product", "the task has no out-of-domain test"
    return split, "", ""


def query_words(sample: Mapping[str, object]) -> str:
    """Return the normalised words of a sample's query; its id where it consists of signs alone."""
    return query_key(str(sample["query_id"]), json.loads(str(sample["fields"]))["query"])


def query_key(query_id: str, query: str) -> str:
    """Return what decides a query's split: its normalised words, or its id where it consists of signs alone."""
    return normalised_text(query) or query_id


@dataclass
class Selection:
    """The chosen samples of one task (positions by split, in order) and what was wanted and there."""

    chosen: dict[str, list[int]] = field(default_factory=dict)
    report: dict[str, dict[str, object]] = field(default_factory=dict)


def select_samples(
    ids: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str | None],
    task: str,
    settings: TaskSettings,
    sizes: Sizes,
    seed: int,
) -> Selection:
    """Choose up to the wanted number per split, by hash of the id, keeping the recipe's label balance.

    A balance is kept exactly: the label that is scarcest for its share limits the whole split. The report has
    per split: wanted, available, chosen, and a note where the data did not suffice.
    """
    selection = Selection()
    for split in SPLITS:
        wanted = getattr(sizes, split)
        places = [place for place, name in enumerate(splits) if name == split]
        places.sort(key=lambda place: (draw(seed, "select", task, ids[place]), ids[place]))
        quotas, note = _quotas([labels[place] for place in places], wanted, settings.label_balance)
        chosen = []
        taken: Counter[str] = Counter()
        for place in places:
            label = labels[place] if settings.label_balance else ""
            if taken[label] < quotas.get(label, 0):
                taken[label] += 1
                chosen.append(place)
        selection.chosen[split] = chosen
        if wanted or places:
            selection.report[split] = {
                "wanted": wanted,
                "available": len(places),
                "chosen": len(chosen),
                "note": note,
            }
    return selection


def _quotas(
    labels: Sequence[str], wanted: int, balance: Mapping[str, float] | None
) -> tuple[dict[str, int], str]:
    if not balance:
        note = f"only {len(labels)} of {wanted} can be built" if len(labels) < wanted else ""
        return {"": wanted}, note
    available = Counter(labels)
    limit, scarcest = float(wanted), ""
    for label, share in sorted(balance.items()):
        if share > 0 and available[label] / share < limit:
            limit, scarcest = available[label] / share, label
    # Largest remainder, so that the shares of a reachable size add up to it.
    total = int(limit + 1e-9)
    exact = {label: share * total for label, share in sorted(balance.items())}
    quotas = {label: int(value + 1e-9) for label, value in exact.items()}
    for label in sorted(exact, key=lambda name: (-(exact[name] - quotas[name]), name)):
        if sum(quotas.values()) < total and quotas[label] < available[label]:
            quotas[label] += 1
    note = ""
    if scarcest:
        note = f"label {scarcest} has {available[scarcest]} samples, which limits {wanted} to {sum(quotas.values())}"
    return quotas, note
