"""Queries with their judged products (ESCI).

A query asks for a category. Most of its judged products are of that category (exact, substitute); complements come from
the complementary category, irrelevant products from any. Queries of other locales are mixed with those of the US; their
products have a key space of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files import wording
from mmecinstruct.synthetic.raw_files.catalogue import JUDGED_ES, SLOTS, Products
from mmecinstruct.synthetic.raw_files.codes import product_key
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Ids, Piece, owners, within
from mmecinstruct.synthetic.raw_files.hash_draws import Numbers, spread
from mmecinstruct.synthetic.raw_files.vocabulary import ALL_DEPARTMENTS
from mmecinstruct.synthetic.raw_files.world import World
from mmecinstruct.synthetic.shop.esci_files import EXAMPLES

LOCALES = ("us", "es", "jp")
LABELS = ("E", "S", "C", "I")
# Share of the queries, by locale, that are in the small version.
_SMALL = (0.3066, 0.53, 0.574)
# Share of the queries in the test split: large only, small.
_TEST = (0.2, 0.3)
_LABEL_SHARES = ((0.755, 0.16, 0.02), (0.437, 0.344, 0.05))  # of E, S, C: large only, small
_COLUMNS = SLOTS * len(ALL_DEPARTMENTS)
_SOURCES = ("other", "negations", "parse_pattern", "behavioral", "nlqec")
_SOURCE_SHARES = (113_656, 6_964, 6_083, 3_780, 169)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Judged query-product pairs, in order: aligned arrays of query, its locale and versions, label and product."""

    query: Numbers
    locale: Numbers
    is_small: NDArray[np.bool_]
    is_test: NDArray[np.bool_]
    label: Numbers
    product: Numbers  # within the locale


class Judgements:
    """All queries with their judged products."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.queries = sum(world.volumes.queries)
        self.rows = self.queries
        self._locale_ends = np.cumsum(world.volumes.queries)
        self._products = np.array(world.volumes.judged_products, np.int64)
        add_all = world.fragments.add_all
        self._starts, self._end_texts = add_all(wording.QUERY_STARTS), add_all(wording.QUERY_ENDS)
        self._foreign = [
            add_all(" " + word for word in words) for words in (wording.SPANISH, wording.JAPANESE)
        ]
        self._brands = add_all(" " + world.fragments.text(brand).lower() for brand in world.catalogue.brands)
        self._comma, self._newline = world.fragments.add(","), world.fragments.add("\n")
        self._sources = add_all(_SOURCES)

    def locales(self, queries: Numbers) -> Numbers:
        """Return the locales of queries, as indices into LOCALES."""
        return np.searchsorted(self._locale_ends, spread(queries, self.queries), side="right")

    @cached_property
    def _ends(self) -> Numbers:
        """The end of each query's pairs."""
        queries = np.arange(self.queries)
        locale = self.locales(queries)
        per_query = np.array(self._world.volumes.judgements) / np.maximum(self._world.volumes.queries, 1)
        # Ten to twenty pairs for most queries, up to twice as many for some.
        weights = per_query[locale] * (0.55 + 0.9 * self._world.draws.fractions("pairs", queries))
        sums = np.cumsum(weights)
        return np.round(sums / sums[-1] * sum(self._world.volumes.judgements)).astype(np.int64)

    def pairs(self, first: int, last: int) -> Pairs:
        """Return the pairs of queries from `first` to before `last`."""
        draws = self._world.draws
        queries = np.arange(first, last)
        starts = np.concatenate([[self._ends[first - 1] if first else 0], self._ends[first:last]])
        counts = np.diff(starts)
        query, position = queries[owners(counts)], within(counts)
        locale = self.locales(query)
        is_small = draws.fractions("small", query) < np.array(_SMALL)[locale]
        is_test = draws.fractions("test", query) < np.array(_TEST)[is_small.astype(np.int64)]
        edges = np.cumsum(_LABEL_SHARES, axis=1)[is_small.astype(np.int64)]
        label = (edges <= draws.fractions("label", query, position)[:, None]).sum(axis=1)
        return Pairs(query, locale, is_small, is_test, label, self._judged(query, position, label, locale))

    def _judged(self, query: Numbers, position: Numbers, label: Numbers, locale: Numbers) -> Numbers:
        draws, products = self._world.draws, self._products[locale]
        anything = draws.below(products, "irrelevant", query, position)
        department, column = np.divmod(self._column(query), SLOTS)
        column = np.where(label == 2, SLOTS - 1 - column, column)
        # The products of a slot in order, from a random one on; where all of them are judged, those of the next slot.
        rows = np.maximum(self._products[0] // _COLUMNS, 1)
        turn = (rows * draws.fractions("judged from", query) ** 1.2).astype(np.int64) + position
        column = department * SLOTS + (column + turn // rows) % SLOTS
        wanted = np.minimum(column + _COLUMNS * (turn % rows), products - 1)
        return np.where((label == 3) | (locale > 0), anything, wanted)

    def _column(self, query: Numbers) -> Numbers:
        """Return the slot that a query asks for, counted over all departments."""
        return self._world.draws.below(_COLUMNS, "query", query)

    def query_texts(self, queries: Numbers) -> pa.Array:
        """Return the texts of queries."""
        world, draws = self._world, self._world.draws
        rows = len(queries)
        locale = self.locales(queries)
        department, column = np.divmod(self._column(queries), SLOTS)
        asked = Products(queries, department, column, queries)
        noun = world.phrases.noun(world.catalogue.category(asked))
        has_brand = draws.chance(0.25, "query has brand", queries)
        brand = self._brands[draws.below(len(self._brands), "query brand", queries)]
        ours = np.stack(
            [
                self._starts[draws.below(len(self._starts), "query start", queries)],
                noun,
                np.where(has_brand, brand, EMPTY),
                self._end_texts[draws.below(len(self._end_texts), "query end", queries)],
            ],
            axis=1,
        )
        pieces: list[Piece] = [np.where((locale == 0)[:, None], ours, EMPTY).astype(np.int32)]
        for one in (1, 2):
            words = self.foreign_words(queries, one, 3)
            pieces.append(np.where((locale == one)[:, None], words, EMPTY).astype(np.int32))
        return pc.utf8_trim_whitespace(world.fragments.join(rows, pieces).strings())

    def foreign_words(self, ids: Numbers, locale: int, count: int) -> Ids:
        """Return words of another locale [n, count]."""
        table = self._foreign[locale - 1]
        positions = [np.full(len(ids), position) for position in range(count)]
        return np.stack(
            [table[self._world.draws.below(len(table), "foreign", ids, position)] for position in positions],
            axis=1,
        )

    def examples(self, queries_at_once: int = 2_000) -> Iterator[pa.Table]:
        """Yield the table of relevance judgements, `queries_at_once` queries at a time."""
        for first in range(0, self.queries, queries_at_once):
            last = min(first + queries_at_once, self.queries)
            pairs = self.pairs(first, last)
            texts = self.query_texts(np.arange(first, last))
            start = int(self._ends[first - 1]) if first else 0
            yield pa.table(
                [
                    np.arange(start, start + len(pairs.query)),
                    texts.take(pa.array(pairs.query - first)),
                    pairs.query,
                    self.product_ids(pairs.locale, pairs.product),
                    _named(LOCALES, pairs.locale),
                    _named(LABELS, pairs.label),
                    pairs.is_small.astype(np.int64),
                    np.ones(len(pairs.query), np.int64),
                    _named(("train", "test"), pairs.is_test.astype(np.int64)),
                ],
                schema=EXAMPLES,
            )

    def judged(self, locale: Numbers, number: Numbers) -> Products:
        """Return products by their numbers within a locale."""
        ours = self._world.catalogue.judged(number)
        foreign = self._world.catalogue.of_keys(product_key(JUDGED_ES - 1 + np.maximum(locale, 1), number))
        pick = np.where(locale == 0, np.arange(len(number)), len(number) + np.arange(len(number)))
        return ours.beside(foreign).at(pick)

    def product_ids(self, locale: Numbers, number: Numbers) -> pa.Array:
        """Return the ids of products as text, by their numbers within a locale."""
        asins = self._world.codes.asins(self.judged(locale, number).key)
        return self._world.fragments.join(len(number), [asins]).strings()

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of the list of sources; the first one follows the column names."""
        queries = np.arange(first, last)
        edges = np.cumsum(_SOURCE_SHARES) / sum(_SOURCE_SHARES)
        sampled = self._world.draws.fractions("query source", queries)
        source = np.minimum(np.searchsorted(edges, sampled, side="right"), len(edges) - 1)
        header = self._world.fragments.add("query_id,source\n")
        return self._world.fragments.join(
            len(queries),
            [
                np.where(queries == 0, header, EMPTY).astype(np.int32),
                self._world.codes.whole(queries),
                self._comma,
                self._sources[source],
                self._newline,
            ],
        ).data


def _named(names: tuple[str, ...], positions: Numbers) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(positions, pa.int8()), pa.array(names)).cast(pa.string())
