"""Queries with relevance judgements (ESCI), balanced so that a text that hides the look hides the label.

A query names a category and mostly a look. E: category and look match. S: the category matches and the look does not,
or the category is the other one of the pair. C: a product of the complementary pair. I: a product of another top-level
category. Among the products whose text leaves E or S open, each query has equally many of both, also with the ambiguous
noun. S is half of all judgements, so that balancing the substitute task keeps these proportions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_choice, hash_draw, hash_order
from mmecinstruct.synthetic.shop.products import Product, look_words
from mmecinstruct.synthetic.shop.vocabulary import (
    FINE_CATEGORIES,
    GARDEN,
    PAIR_NUMBER_BY_NOUN,
    PAIRS,
    TOP_CATEGORIES,
    look_palette,
)

QUERIES_PER_PRODUCT = 0.75
# The number of E, and of S, that the text leaves open; more for a pattern, as more products have it.
WANTED, WANTED_OF_PATTERN = 3, 5
LONGEST_SEARCH = 400  # products of a shelf
# The substitute tasks have no OOD test, so that category needs only a third of the queries.
GARDEN_PART = 3

_WORDINGS = (
    "{look} {noun}", "{noun} {look}", "{look} {noun} for gift", "best {look} {noun}", "{look} {noun} new",
    "{noun} in {look}", "cheap {look} {noun}", "{look} {noun} for daily use", "quality {look} {noun}",
    "{look} {noun} for adults", "small price {look} {noun}", "{look} {noun} delivered fast",
)  # fmt: skip

Keep = Callable[[Product], bool]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The relevance judgement of one product for a query.

    Attributes:
        product: The product's number.
        label: E, S, C or I.
    """

    product: int
    label: str


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        query_id: The id in ESCI's files.
        text: The text.
        fine: The index of the wanted category in FINE_CATEGORIES.
        colour: The wanted colour.
        pattern: The wanted pattern.
        judgements: The relevance judgements.
    """

    query_id: int
    text: str
    fine: int
    colour: str | None
    pattern: str | None
    judgements: tuple[Judgement, ...]

    @property
    def asks_look(self) -> bool:
        """Whether a colour or a pattern is asked for."""
        return self.colour is not None or self.pattern is not None

    def asks(self, product: Product) -> bool:
        """Return whether a product has the wanted look."""
        return self.colour in (None, product.colour) and self.pattern in (None, product.pattern)


@dataclass(frozen=True, slots=True)
class _Shelves:
    """Products by the attributes that queries need."""

    # (fine, colour, pattern)
    by_look: dict[tuple[int, str | None, str | None], list[Product]]
    # (fine, names_category, shows_look)
    by_text: dict[tuple[int, bool, bool], list[Product]]
    # (pair, shows_look): products of both categories with the ambiguous noun
    ambiguous: dict[tuple[int, bool], list[Product]]
    by_pair: dict[int, list[Product]]
    by_top: dict[str, list[Product]]


def make_queries(products: list[Product], seed: int) -> list[Query]:
    """Return the queries of all categories, without queries for which no product is left open by its text."""
    shelves = _shelve(products, seed)
    colours, patterns = look_palette(len(products))
    queries: list[Query] = []
    for fine, category in enumerate(FINE_CATEGORIES):
        share = QUERIES_PER_PRODUCT / (GARDEN_PART if category.top == GARDEN else 1)
        wanted = max(2, round(share * len(shelves.by_look.get((fine, None, None), ()))))
        for number in range(wanted):
            colour, pattern = _asked(number, fine, colours, patterns, seed)
            text = _query_text(fine, colour, pattern, number, seed)
            query = Query(10_000 + len(queries), text, fine, colour, pattern, ())
            judgements = _judgements(query, shelves, seed, f"{fine}:{number}")
            if judgements:
                queries.append(
                    Query(query.query_id, text, fine, colour, pattern, tuple(judgements)),
                )
    return queries


def _shelve(products: list[Product], seed: int) -> _Shelves:
    by_look: dict[tuple[int, str | None, str | None], list[Product]] = defaultdict(list)
    by_text: dict[tuple[int, bool, bool], list[Product]] = defaultdict(list)
    ambiguous: dict[tuple[int, bool], list[Product]] = defaultdict(list)
    by_pair: dict[int, list[Product]] = defaultdict(list)
    by_top: dict[str, list[Product]] = defaultdict(list)
    # In random order, as neighbours on a shelf would otherwise be alike.
    for product in hash_order(products, seed, "shop shelves"):
        for colour in (None, product.colour):
            for pattern in (None, product.pattern):
                by_look[product.fine, colour, pattern].append(product)
        by_text[product.fine, product.names_category, product.shows_look].append(product)
        if not product.names_category:
            ambiguous[product.pair, product.shows_look].append(product)
        by_pair[product.pair].append(product)
        by_top[product.top].append(product)
    return _Shelves(by_look, by_text, ambiguous, by_pair, by_top)


def _asked(
    number: int, fine: int, colours: Sequence[str], patterns: Sequence[str], seed: int
) -> tuple[str | None, str | None]:
    """Return the look that a category's query of a running number asks for.

    In turn: every colour, every pattern, no look, and a third as many full looks as colours.
    """
    full = max(1, len(colours) // 3)
    turn, index = divmod(number, len(colours) + len(patterns) + 1 + full)
    if index < len(colours):
        return colours[index], None
    index -= len(colours)
    if index < len(patterns):
        return None, patterns[index]
    if index == len(patterns):
        return None, None
    key = (str(fine), str(turn), str(index))
    return hash_choice(colours, seed, "shop query colour", *key), hash_choice(
        patterns, seed, "shop query pattern", *key
    )


def _query_text(fine: int, colour: str | None, pattern: str | None, number: int, seed: int) -> str:
    noun = FINE_CATEGORIES[fine].noun.lower()
    wording = hash_choice(_WORDINGS, seed, "shop query", str(fine), str(number))
    look = look_words(colour, pattern)
    if colour is None or pattern is not None:
        # "in red" and "mug red" are used for a bare colour only.
        wording = wording.replace("{noun} in {look}", "{look} {noun}").replace(
            "{noun} {look}", "{look} {noun}"
        )
    return " ".join(wording.format(look=look, noun=noun).split())


class _Draft:
    """The judgements of one query while they are chosen; no product is used twice."""

    def __init__(self, seed: int, key: str) -> None:
        self._seed, self._key = seed, key
        self._taken: set[int] = set()
        self.judgements: list[Judgement] = []

    def take(self, shelf: Sequence[Product], wanted: int, label: str, keep: Keep) -> int:
        """Take up to `wanted` products of a shelf with a label, from a random one on; return their number."""
        if wanted <= 0 or not shelf:
            return 0
        got = 0
        start = hash_draw(self._seed, "shop judge", self._key, str(len(self.judgements)))
        for step in range(min(len(shelf), LONGEST_SEARCH)):
            product = shelf[(start + step) % len(shelf)]
            if product.number not in self._taken and keep(product):
                self._taken.add(product.number)
                self.judgements.append(Judgement(product.number, label))
                got += 1
                if got == wanted:
                    break
        return got

    def take_open(
        self,
        matching: Sequence[Product],
        shelf: Sequence[Product],
        wanted: int,
        exact: Keep,
        substitute: Keep,
    ) -> int:
        """Take equally many E of `matching` and S of `shelf`, up to `wanted` each; return the number of each."""
        before = len(self.judgements)
        found = self.take(matching, wanted, "E", exact)
        partners = self.take(shelf, found, "S", substitute)
        # An E without an S of the same text would reveal the label.
        del self.judgements[before + partners : before + found]
        return partners


def _judgements(query: Query, shelves: _Shelves, seed: int, key: str) -> list[Judgement]:
    """Return a query's judgements: E and S equally often where the text leaves them open."""
    draft = _Draft(seed, key)
    opened = _take_undecided(draft, query, shelves)
    if opened:
        _take_decided(draft, query, shelves, opened + 1, seed, key)
    return draft.judgements


def _take_undecided(draft: _Draft, query: Query, shelves: _Shelves) -> int:
    """Take products whose text leaves E or S open; return the number of each label."""
    fine, pair = query.fine, FINE_CATEGORIES[query.fine].pair
    matching = shelves.by_look.get((fine, query.colour, query.pattern), [])
    hidden, shown = shelves.ambiguous.get((pair, False), []), shelves.ambiguous.get((pair, True), [])

    def is_partner_with_look(product: Product) -> bool:
        return product.fine != fine and query.asks(product)

    def is_exact_text_hidden(product: Product) -> bool:
        return product.names_category and not product.shows_look

    def is_ambiguous_hidden(product: Product) -> bool:
        return not product.names_category and not product.shows_look

    def is_ambiguous_shown(product: Product) -> bool:
        return not product.names_category and product.shows_look

    def is_no_match(product: Product) -> bool:
        return product.fine != fine or not query.asks(product)

    wanted = WANTED_OF_PATTERN if query.colour is None and query.pattern is not None else WANTED
    if not query.asks_look:
        opened = draft.take_open(matching, hidden, wanted - 1, is_ambiguous_hidden, is_partner_with_look)
        return opened + draft.take_open(matching, shown, 1, is_ambiguous_shown, is_partner_with_look)
    opened = draft.take_open(matching, hidden, wanted // 2, is_ambiguous_hidden, is_no_match)
    opened += draft.take_open(matching, shown, 1, is_ambiguous_shown, is_partner_with_look)
    exact = shelves.by_text.get((fine, True, False), [])
    return opened + draft.take_open(matching, exact, wanted - opened, is_exact_text_hidden, is_no_match)


def _take_decided(draft: _Draft, query: Query, shelves: _Shelves, wanted: int, seed: int, key: str) -> None:
    """Take products whose text determines the label: as many S as E, C and I together."""
    category = FINE_CATEGORIES[query.fine]
    substitutes = 0
    if query.asks_look:
        shown = shelves.by_text.get((query.fine, True, True), [])
        substitutes = draft.take(shown, wanted // 2, "S", lambda product: not query.asks(product))
    substitutes += draft.take(
        shelves.by_pair[category.pair],
        wanted - substitutes,
        "S",
        lambda product: product.fine != query.fine and product.names_category,
    )
    matching = shelves.by_look.get((query.fine, query.colour, query.pattern), [])
    others = draft.take(
        matching,
        1,
        "E",
        lambda product: product.names_category and (product.shows_look or not query.asks_look),
    )
    companions = shelves.by_pair.get(PAIR_NUMBER_BY_NOUN[PAIRS[category.pair].complement], [])
    others += draft.take(companions, (substitutes - others + 1) // 2, "C", lambda product: True)
    tops = [top for top in TOP_CATEGORIES if top != category.top]
    if category.top != GARDEN:
        # A pair with a product of the OOD test would be dropped.
        tops.remove(GARDEN)
    unrelated = shelves.by_top[hash_choice(tops, seed, "shop unrelated", key)]
    draft.take(unrelated, substitutes - others, "I", lambda product: True)
