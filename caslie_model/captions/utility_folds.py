"""Folds of samples by group: what shares a user, a query or a product is in one fold, whatever its split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from caslie_model.data.samples import Groups, Sample
from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.duplicates.clusters import bounded_clusters

# Larger parts of a fold are cut: products that many users bought connect everything.
_PARTS_OF_FOLD = 2
# How strongly samples belong together by what they share: the weakest links are cut first.
_STRENGTH = {"user": 3.0, "query": 3.0, "group": 2.0, "cluster": 2.0, "product": 1.0}
_NEVER_CUT = ("user", "query")


@dataclass(frozen=True)
class Folds:
    """The fold of each sample.

    Attributes:
        of: Number of the fold by id of the sample, from 0.
        group: Name of the group by id of the sample.
        cut: Links between groups that were cut, as too many samples were connected.
    """

    of: dict[str, int]
    group: dict[str, str]
    cut: int


def fold_samples(samples: Iterable[Sample], count: int, seed: int) -> Folds:
    """Return the folds of samples: connected components of what they share, spread by hash.

    The order of the samples changes nothing, nor do their right answers.

    Args:
        samples: The samples of all splits.
        count: Number of folds.
        seed: Seed of the hash.
    """
    by_id = {sample.id: sample for sample in samples}
    ids = sorted(by_id)
    members: dict[tuple[str, str], list[str]] = {}
    for name in ids:
        for kind, key in _keys(by_id[name].groups):
            members.setdefault((kind, key), []).append(name)
    edges = [
        (one, other, _STRENGTH[kind])
        for (kind, _), names in sorted(members.items())
        for one, other in pairwise(names)
    ]
    kept_together = [(one, other) for one, other, strength in edges if strength == _STRENGTH[_NEVER_CUT[0]]]
    largest = max(1, len(ids) // (_PARTS_OF_FOLD * count))
    clusters = bounded_clusters(ids, edges, largest, kept_together)
    group = dict(clusters.cluster_of)
    of = {name: hash_draw(seed, "fold of a judge", group[name]) % count for name in ids}
    return Folds(of, group, clusters.dropped)


def largest_share(folds: Folds) -> float:
    """Return the share of the samples that are in the largest group."""
    return max(Counter(folds.group.values()).values(), default=0) / max(1, len(folds.group))


def _keys(groups: Groups) -> Sequence[tuple[str, str]]:
    keys = [("product", name) for name in groups.products]
    keys += [("cluster", name) for name in groups.clusters]
    keys += [("group", name) for name in groups.groups]
    if groups.user is not None:
        keys.append(("user", groups.user))
    if groups.query is not None:
        keys.append(("query", groups.query))
    return keys
