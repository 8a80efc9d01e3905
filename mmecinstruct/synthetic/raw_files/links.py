"""The products that a product page links to: bought with it, viewed with it, similar to it.

As in the real files, most links lead to products outside of the file. Within the file, some lead to a few popular
products and most to neighbours of the same slot (viewed, similar) or of its complementary slot (bought), so that pairs
occur in both directions, and some under two relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmecinstruct.synthetic.raw_files.catalogue import OUTSIDE, SLOTS
from mmecinstruct.synthetic.raw_files.codes import product_key
from mmecinstruct.synthetic.raw_files.fragments import owners, within
from mmecinstruct.synthetic.raw_files.hash_draws import HashDraws, Numbers

BOUGHT, VIEWED, SIMILAR = "bought", "viewed", "similar"

# By relation: the share of products with links, the longest list, the exponent that makes lists short.
_LISTS = {BOUGHT: (0.62, 72, 1.6), VIEWED: (0.66, 70, 1.6), SIMILAR: (0.33, 5, 0.7)}
_OUTSIDE_SHARE = {BOUGHT: 0.6, VIEWED: 0.55, SIMILAR: 0.35}
_POPULAR_SHARE = 0.3  # of the links within the file
# Share of the viewed links that repeat a bought one.
_VIEWED_IS_BOUGHT = 0.06
_OUTSIDE_PRODUCTS = 12_000_000  # in all
# The distance of neighbours, in products of a slot.
_REACH = {
    BOUGHT: (1, 12),
    VIEWED: (1, 12),
    SIMILAR: (13, 20),
}


@dataclass(frozen=True, slots=True)
class Links:
    """Links of products.

    Attributes:
        counts: The number of links of each product [products].
        keys: The keys of the linked products [sum of counts].
    """

    counts: Numbers
    keys: Numbers


class Linker:
    """Makes the links of the products of one file."""

    def __init__(self, draws: HashDraws, department: int, products: int) -> None:
        self._draws, self._department, self._products = draws, department, products

    def links(self, relation: str, numbers: Numbers) -> Links:
        """Return the links of products.

        Args:
            relation: BOUGHT, VIEWED or SIMILAR.
            numbers: The products' numbers in the file.
        """
        counts = self._counts(relation, numbers)
        source = numbers[owners(counts)]
        position = within(counts)
        targets = self._targets(relation, source, position)
        if relation == VIEWED:
            bought = self._counts(BOUGHT, numbers)[owners(counts)]
            again = (position < bought) & self._draws.chance(
                _VIEWED_IS_BOUGHT, f"{self._department} again", source, position
            )
            targets = np.where(again, self._targets(BOUGHT, source, position), targets)
        return Links(counts, targets)

    def _counts(self, relation: str, numbers: Numbers) -> Numbers:
        share, longest, skew = _LISTS[relation]
        sampled = self._draws.fractions(f"{self._department} {relation} count", numbers)
        length = 1 + (
            longest * self._draws.fractions(f"{self._department} {relation} length", numbers) ** skew
        )
        return np.where(sampled < share, length.astype(np.int64), 0)

    def _targets(self, relation: str, source: Numbers, position: Numbers) -> Numbers:
        what = f"{self._department} {relation}"
        sampled = self._draws.words(what, source, position)
        way = (sampled & np.uint64(0xFFFF)) / 65536.0
        bits = ((sampled >> np.uint64(16)) & np.uint64(0xFFFFFF)).astype(np.int64)
        more = (sampled >> np.uint64(40)).astype(np.int64)
        outside = _OUTSIDE_SHARE[relation]
        popular = outside + (1 - outside) * _POPULAR_SHARE
        hub = (self._products * (bits / 2.0**24) ** 4).astype(np.int64)
        inside = np.where(way < popular, hub, self._neighbours(relation, source, bits))
        beyond = product_key(OUTSIDE, (bits * 2**24 + more) % _OUTSIDE_PRODUCTS)
        return np.where(way < outside, beyond, product_key(self._department, inside))

    def _neighbours(self, relation: str, source: Numbers, bits: Numbers) -> Numbers:
        nearest, farthest = _REACH[relation]
        step = nearest + bits // 2 % (farthest - nearest + 1)
        column = source % SLOTS
        if relation == BOUGHT:
            column = SLOTS - 1 - column  # the complementary slot, in both directions
        rows = np.maximum(1, (self._products - 1 - column) // SLOTS + 1)
        row = (source // SLOTS + np.where(bits % 2 == 1, step, -step)) % rows
        return column + SLOTS * row
