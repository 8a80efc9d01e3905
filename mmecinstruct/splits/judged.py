"""Assign the queries and products of relevance judgements to splits, communities of them together.

Queries and products that judgements connect are one community, and lie in one split. A community of more than a
twentieth of all queries is cut into smaller ones by label propagation over its queries; a product then goes with most
of its queries. Only the pairs that such a cut separates can cross splits.

Communities are assigned by a hash of their name, the first of their queries' keys. A large one (LARGE_SHARE of all
pairs) is not: few hashes would miss the shares by far, so the large ones are dealt out, each to the split that lacks
most after all others were assigned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.hashing import hash_draw, hash_fraction
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.samples import TEST, TRAIN, VALIDATION
from mmecinstruct.splits.communities import label_propagation

# The splits of queries and units, by their codes.
CODED_SPLITS = (TRAIN, VALIDATION, TEST)
# A community with more than the first share of all queries is cut into pieces of at most the second, unless it has few
# queries. Pieces of a twentieth were whole categories in the sample shop: a third of its test products was of
# categories that training did not know.
MAX_QUERY_SHARE = 0.05
PIECE_SHARE = 0.03
WHOLE_COMMUNITY = 5
LINKED = 8
# Communities with at least this share of all pairs are dealt out.
LARGE_SHARE = 0.005

Codes = NDArray[np.int64]
_NOTHING: Mapping[str, int] = MappingProxyType({})


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


def deal_out(
    sizes: Mapping[str, int], settings: SplitSettings, seed: int, assigned: Mapping[str, int] = _NOTHING
) -> dict[str, str]:
    """Assign few groups of different sizes: the largest first, each to the split that lacks most.

    Args:
        sizes: The size of each group by its name.
        settings: The shares of the splits.
        seed: The recipe's seed.
        assigned: What each split has already.

    Returns:
        The split of each group.
    """
    wanted = {TRAIN: settings.train, VALIDATION: settings.validation, TEST: settings.test}
    got = Counter(assigned)
    total = sum(sizes.values()) + got.total()
    found = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], hash_draw(seed, "split:community", name))):
        split = max(wanted, key=lambda one: (wanted[one] * total - got[one], one == TRAIN))
        got[split] += sizes[name]
        found[name] = split
    return found


@dataclass(frozen=True)
class JudgedPairs:
    """Distinct pairs of a query and a unit of products that was judged for it, as codes.

    Attributes:
        queries: int64 [pairs], positions in `keys`.
        units: int64 [pairs], 0 to the number of units.
        keys: The key of each query, in ascending order, so that a code does not depend on the order of rows.
    """

    queries: Codes
    units: Codes
    keys: Sequence[str]

    @property
    def unit_count(self) -> int:
        """The number of units."""
        return int(self.units.max()) + 1 if len(self.units) else 0


def split_units(pairs: JudgedPairs, settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Return the split of each unit, as a position in CODED_SPLITS.

    Args:
        pairs: The judged pairs. Every unit is in one.
        settings: The shares of the splits.
        seed: The recipe's seed.
    """
    community = _cut(_connect(pairs), pairs, seed)
    of_unit = _most_frequent(pairs.units, community[pairs.queries], pairs.unit_count)
    kept = community[pairs.queries] == of_unit[pairs.units]
    sizes = np.bincount(community[pairs.queries][kept], minlength=len(pairs.keys))
    is_large = sizes >= max(1.0, LARGE_SHARE * len(pairs.queries))
    names = {one: pairs.keys[one] for one in np.flatnonzero(sizes).tolist()}
    found, assigned = {}, Counter[str]()
    for one, name in names.items():
        if not is_large[one]:
            found[name] = split_by_hash(settings, seed, "split:query", name)
            assigned[found[name]] += int(sizes[one])
    large = {name: int(sizes[one]) for one, name in names.items() if is_large[one]}
    found |= deal_out(large, settings, seed, assigned)
    split_of = np.zeros(len(pairs.keys), np.int8)
    for one, name in names.items():
        split_of[one] = CODED_SPLITS.index(found[name])
    return split_of[of_unit]


def split_queries(pairs: JudgedPairs, of_unit: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the split of each query: that of most of its products, the first of CODED_SPLITS among equals.

    Args:
        pairs: The judged pairs.
        of_unit: int8 [units], the split of each unit, see `split_units`.
    """
    return _most_frequent(pairs.queries, of_unit[pairs.units].astype(np.int64), len(pairs.keys)).astype(
        np.int8
    )


def _connect(pairs: JudgedPairs) -> Codes:
    """Return the connected component of each query: the smallest code of its queries."""
    component = np.arange(len(pairs.keys))
    while True:
        of_unit = np.full(pairs.unit_count, len(component))
        np.minimum.at(of_unit, pairs.units, component[pairs.queries])
        joined = component.copy()
        np.minimum.at(joined, pairs.queries, of_unit[pairs.units])
        # A query takes the component of its component: a chain of queries needs few rounds.
        joined = joined[joined]
        if np.array_equal(joined, component):
            return component
        component = joined


def _cut(component: Codes, pairs: JudgedPairs, seed: int) -> Codes:
    """Return the communities: components, those of too many queries cut. A community is named by one of its queries."""
    limit, piece = (
        max(WHOLE_COMMUNITY, int(share * len(component))) for share in (MAX_QUERY_SHARE, PIECE_SHARE)
    )
    too_large = (np.bincount(component, minlength=len(component)) > limit)[component]
    nodes = np.flatnonzero(too_large)
    if not len(nodes):
        return component
    inside = too_large[pairs.queries]
    queries, units = pairs.queries[inside], pairs.units[inside]
    order = np.lexsort((queries, units))
    queries, units = queries[order], units[order]
    # Each query of a unit is linked to the next LINKED ones: all pairs of many queries would be too many.
    code = {pairs.keys[one]: one for one in nodes.tolist()}
    edges = (
        (pairs.keys[queries[one]], pairs.keys[queries[one + step]])
        for step in range(1, LINKED + 1)
        for one in np.flatnonzero(units[step:] == units[:-step]).tolist()
    )
    labels = label_propagation(list(code), edges, seed, piece)
    cut = component.copy()
    for key, label in labels.items():
        cut[code[key]] = code[label]
    return cut


def _most_frequent(groups: Codes, values: Codes, count: int) -> Codes:
    """Return the most frequent value of each group, the smallest of equally frequent ones.

    Args:
        groups: int64 [N], 0 to count; each occurs.
        values: int64 [N], not negative.
        count: The number of groups.
    """
    if not len(groups):
        return np.zeros(count, np.int64)
    width = int(values.max()) + 1
    both, times = np.unique(groups * width + values, return_counts=True)
    group, value = both // width, both % width
    order = np.lexsort((value, -times, group))
    first = np.unique(group[order], return_index=True)[1]
    return value[order][first]
