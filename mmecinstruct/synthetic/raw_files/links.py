"""Which products a product page names: bought with it, viewed with it, similar to it.

Most links lead out of the file, as in the real ones. Within it, some lead to a few popular products and most to the
neighbours of the same place (viewed, similar) or of a place that goes with it (bought), so that pairs are met in both
directions, and now and then under two relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmecinstruct.synthetic.raw_files.catalogue import OUTSIDE, PLACES
from mmecinstruct.synthetic.raw_files.codes import identity
from mmecinstruct.synthetic.raw_files.draws import Draws, Numbers
from mmecinstruct.synthetic.raw_files.fragments import owners, within

BOUGHT, VIEWED, SIMILAR = "bought", "viewed", "similar"

# Of each relation: share of products with any link, the longest list, how strongly lists tend to be short.
_LISTS = {BOUGHT: (0.62, 72, 1.6), VIEWED: (0.66, 70, 1.6), SIMILAR: (0.33, 5, 0.7)}
_OUTSIDE_SHARE = {BOUGHT: 0.6, VIEWED: 0.55, SIMILAR: 0.35}
_POPULAR_SHARE = 0.3  # of the links within the file
_VIEWED_IS_BOUGHT = 0.06  # of the viewed links, those that repeat a bought one
_OUTSIDE_PRODUCTS = 12_000_000  # in all
_REACH = {
    BOUGHT: (1, 12),
    VIEWED: (1, 12),
    SIMILAR: (13, 20),
}  # how far neighbours are, in products of a place


@dataclass(frozen=True, slots=True)
class Links:
    """Links of some products: counts [products]; linked identities [sum of counts]."""

    counts: Numbers
    identities: Numbers


class Linker:
    """Draws the links of the products of one file."""

    def __init__(self, draws: Draws, department: int, products: int) -> None:
        self._draws, self._department, self._products = draws, department, products

    def links(self, relation: str, numbers: Numbers) -> Links:
        """Return what the products, given by their places in the file, are linked to."""
        counts = self._counts(relation, numbers)
        source = numbers[owners(counts)]
        place = within(counts)
        targets = self._targets(relation, source, place)
        if relation == VIEWED:
            bought = self._counts(BOUGHT, numbers)[owners(counts)]
            again = (place < bought) & self._draws.chance(
                _VIEWED_IS_BOUGHT, f"{self._department} again", source, place
            )
            targets = np.where(again, self._targets(BOUGHT, source, place), targets)
        return Links(counts, targets)

    def _counts(self, relation: str, numbers: Numbers) -> Numbers:
        share, longest, skew = _LISTS[relation]
        drawn = self._draws.fractions(f"{self._department} {relation} count", numbers)
        length = 1 + (
            longest * self._draws.fractions(f"{self._department} {relation} length", numbers) ** skew
        )
        return np.where(drawn < share, length.astype(np.int64), 0)

    def _targets(self, relation: str, source: Numbers, place: Numbers) -> Numbers:
        what = f"{self._department} {relation}"
        drawn = self._draws.words(what, source, place)
        way = (drawn & np.uint64(0xFFFF)) / 65536.0
        bits = ((drawn >> np.uint64(16)) & np.uint64(0xFFFFFF)).astype(np.int64)
        more = (drawn >> np.uint64(40)).astype(np.int64)
        outside = _OUTSIDE_SHARE[relation]
        popular = outside + (1 - outside) * _POPULAR_SHARE
        hub = (self._products * (bits / 2.0**24) ** 4).astype(np.int64)
        inside = np.where(way < popular, hub, self._neighbours(relation, source, bits))
        beyond = identity(OUTSIDE, (bits * 2**24 + more) % _OUTSIDE_PRODUCTS)
        return np.where(way < outside, beyond, identity(self._department, inside))

    def _neighbours(self, relation: str, source: Numbers, bits: Numbers) -> Numbers:
        nearest, farthest = _REACH[relation]
        step = nearest + bits // 2 % (farthest - nearest + 1)
        column = source % PLACES
        if relation == BOUGHT:
            column = PLACES - 1 - column  # what goes with what, in both directions
        rows = np.maximum(1, (self._products - 1 - column) // PLACES + 1)
        row = (source // PLACES + np.where(bits % 2 == 1, step, -step)) % rows
        return column + PLACES * row
