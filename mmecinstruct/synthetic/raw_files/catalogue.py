"""The miniature's products: what each one is, and its title.

A product is known by its identity alone. Its place, the remainder of its number by `PLACES`, says which category it
is of; so the products of a category are found by counting, without a table. Of four successive products of a place
some are near-duplicates of the first: another colour, or the same title again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files.codes import SPACE_BITS, identity
from mmecinstruct.synthetic.raw_files.draws import Draws, Numbers
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Fragments, Ids
from mmecinstruct.synthetic.raw_files.vocabulary import (
    ADJECTIVES,
    ALL_DEPARTMENTS,
    COLOURS,
    PACKS,
    Department,
    brand_names,
)
from mmecinstruct.synthetic.shop.vocabulary import series_name

PLACES = 128  # of a department
FAMILY = 4  # successive products of a place, of which some are variants of the first
COLOUR_VARIANTS = 0.07  # of all but the first of a family
SAME_TITLES = 0.012
JUDGED, JUDGED_ES, JUDGED_JP, OUTSIDE = 4, 5, 6, 7  # spaces of identities after the departments
SHARED_ROWS = 10  # one in so many judged products is one of a department's file, where the department has one

COLOUR_COLUMN = 9  # of a title, the fragment of its colour, after a comma and a blank

_SERIES = 5000
_OTHER = len(ALL_DEPARTMENTS) - 1


@dataclass(frozen=True, slots=True)
class Products:
    """Some products, aligned. stem: of the product whose words the title has; else the identity."""

    identity: Numbers
    department: Numbers
    place: Numbers
    stem: Numbers

    def at(self, rows: Numbers) -> Products:
        """Return the products of some rows."""
        return Products(self.identity[rows], self.department[rows], self.place[rows], self.stem[rows])

    def beside(self, others: Products) -> Products:
        """Return these and then other products."""
        return Products(
            np.concatenate([self.identity, others.identity]),
            np.concatenate([self.department, others.department]),
            np.concatenate([self.place, others.place]),
            np.concatenate([self.stem, others.stem]),
        )


class Catalogue:
    """Products by number, with their attributes and titles. All methods work on many at once."""

    def __init__(self, fragments: Fragments, draws: Draws, department_products: tuple[int, ...]) -> None:
        self.draws = draws
        self.department_products = np.array([*department_products, 0], np.int64)
        self.category_of_place = np.stack([_places(department) for department in ALL_DEPARTMENTS])
        self._first_category = np.cumsum([0, *(len(one.categories) for one in ALL_DEPARTMENTS)])[:-1]
        self.categories = [category for one in ALL_DEPARTMENTS for category in one.categories]

        def table(words: tuple[str, ...] | list[str], mark: str = "") -> Ids:
            return fragments.add_all(mark + word for word in words)

        brands = brand_names()
        series = [series_name(number) for number in range(_SERIES)]
        nouns = [category.noun for category in self.categories]
        self.brands, self._spaced_brands = table(brands), table(brands, " ")
        self._series, self._models = table(series, " "), table(_models(), " ")
        self._model_numbers = fragments.add_all(f"{number:03d}" for number in range(1000))
        self._adjectives, self._spaced_adjectives = table(ADJECTIVES), table(ADJECTIVES, " ")
        escaped = [word.replace("&", "&amp;") for word in ADJECTIVES]
        self._escaped_adjectives, self._spaced_escaped = table(escaped), table(escaped, " ")
        self.nouns, self._spaced_nouns = table(nouns), table(nouns, " ")
        self.colours, self._added_colours = table(COLOURS), table(COLOURS, ", ")
        self._packs = table(PACKS, ", ")
        self._by, self._dash = fragments.add(" by "), fragments.add(" -")
        self.materials = PerDepartment(fragments, lambda one: one.materials)
        self._spaced_materials = PerDepartment(fragments, lambda one: one.materials, " ")
        self._features = PerDepartment(fragments, lambda one: one.features, " ")
        self.sizes = PerDepartment(fragments, lambda one: one.sizes)
        self._added_sizes = PerDepartment(fragments, lambda one: one.sizes, ", ")
        self._prices = np.array([one.prices for one in ALL_DEPARTMENTS], np.int64)

    def of_department(self, department: int | Numbers, numbers: Numbers) -> Products:
        """Return the products of a department's file. numbers: the products' places in it, from 0."""
        return self._family(department, np.broadcast_to(department, numbers.shape), numbers, PLACES)

    def judged(self, numbers: Numbers) -> Products:
        """Return products of the search engine, of all departments; some are those of a department's file."""
        columns = PLACES * len(ALL_DEPARTMENTS)
        own = self._family(JUDGED, numbers % columns // PLACES, numbers, columns)
        row = numbers // columns
        shared_number = own.place + PLACES * (row // SHARED_ROWS)
        shared = (row % SHARED_ROWS == 0) & (shared_number < self.department_products[own.department])
        other = self.of_department(np.minimum(own.department, _OTHER), shared_number)
        return Products(
            np.where(shared, other.identity, own.identity),
            own.department,
            own.place,
            np.where(shared, other.stem, own.stem),
        )

    def of_identities(self, identities: Numbers) -> Products:
        """Return products that stand in a department's file, or nowhere, by their identities."""
        space, numbers = identities >> SPACE_BITS, identities & ((1 << SPACE_BITS) - 1)
        return self._family(space, np.minimum(space, _OTHER), numbers, PLACES)

    def _family(self, space: int | Numbers, department: Numbers, numbers: Numbers, columns: int) -> Products:
        member = numbers // columns % FAMILY
        own = identity(space, numbers)
        kind = self.draws.kinds((COLOUR_VARIANTS, SAME_TITLES), "family", own)
        stem = np.where((member > 0) & (kind > 0), identity(space, numbers - member * columns), own)
        return Products(own, department, numbers % PLACES, stem)

    def category(self, products: Products) -> Numbers:
        """Return the places of the products' categories in `categories`."""
        return (
            self._first_category[products.department]
            + self.category_of_place[products.department, products.place]
        )

    def brand(self, products: Products) -> Numbers:
        """Return the places of the products' brands: few brands have many products."""
        drawn = self.draws.fractions("brand", products.stem)
        number = (len(self.brands) * drawn**2.5).astype(np.int64)
        return (number * 7 + products.department * 997) % len(self.brands)

    def colour(self, products: Products) -> Numbers:
        """Return the places of the products' colours, which tell variants apart."""
        same = self._kinds(products) == 2
        return self.draws.below(len(COLOURS), "colour", np.where(same, products.stem, products.identity))

    def _kinds(self, products: Products) -> Numbers:
        """Return 1 for products that differ from their stem in colour, 2 for those of the same title, else 0."""
        kinds = self.draws.kinds((COLOUR_VARIANTS, SAME_TITLES), "family", products.identity)
        return np.where(products.stem == products.identity, 0, kinds)

    def cents(self, products: Products) -> Numbers:
        """Return the products' prices in cents."""
        low, high = self._prices[products.department].T
        drawn = self.draws.fractions("price", products.stem)
        dollars = low + ((high - low) * drawn**2.5 * (1 + 4 * (drawn > 0.97))).astype(np.int64)
        ends = np.array([99, 95, 0, 49, 88, 50, 97])
        return dollars * 100 + ends[self.draws.below(len(ends), "cents", products.stem)]

    def image_words(self, products: Products, place: Numbers) -> NDArray[np.uint64]:
        """Return the drawn names of the products' images. place: which of its images, from 0."""
        return self.draws.words("picture", products.identity, place)

    def titles(self, products: Products, escaped: NDArray[np.bool_] | None = None) -> Ids:
        """Return the titles [n, 11]. escaped: in which rows an `&` is written `&amp;`."""
        draws, stem = self.draws, products.stem
        category, brand = self.category(products), self.brand(products)
        rows = len(stem)
        plain, spaced = self._adjectives, self._spaced_adjectives
        chosen = draws.below(len(ADJECTIVES), "adjective", stem)
        first_adjective, adjective = plain[chosen], spaced[chosen]
        if escaped is not None:
            first_adjective = np.where(escaped, self._escaped_adjectives[chosen], first_adjective)
            adjective = np.where(escaped, self._spaced_escaped[chosen], adjective)
        has_model = draws.chance(0.5, "has model", stem)
        series = self._series[draws.below(_SERIES, "series", stem)]
        model = np.where(has_model, self._models[draws.below(len(self._models), "model", stem)], series)
        number = np.where(has_model, self._model_numbers[draws.below(1000, "model number", stem)], EMPTY)
        material = self._optional(0.6, "material", products, self._spaced_materials)
        feature = self._features.drawn(draws, "feature", products)
        second = self._optional(0.35, "second feature", products, self._features)
        second = np.where(second == feature, EMPTY, second)
        size = self._optional(0.65, "size", products, self._added_sizes)
        has_colour = draws.chance(0.8, "has colour", stem) | (self._kinds(products) == 1)
        colour = np.where(has_colour, self._added_colours[self.colour(products)], EMPTY)
        pack = np.where(
            draws.chance(0.2, "has pack", stem), self._packs[draws.below(len(PACKS), "pack", stem)], EMPTY
        )
        usual = np.stack(
            [
                self.brands[brand], model, number, np.where(draws.chance(0.5, "has adjective", stem), adjective, EMPTY),
                material, self._spaced_nouns[category], feature, second, size, colour, pack,
            ],
            axis=1,
        )  # fmt: skip
        turned = np.stack(
            [
                first_adjective, self._spaced_nouns[category], feature,
                np.full(rows, self._by, np.int32), self.brands[brand], np.full(rows, self._dash, np.int32), model,
                number, size, colour, pack,
            ],
            axis=1,
        )  # fmt: skip
        return np.where(self._is_turned(products)[:, None], turned, usual).astype(np.int32)

    def noun_column(self, products: Products) -> Numbers:
        """Return in which fragment of the titles the noun stands, after a blank."""
        return np.where(self._is_turned(products), 1, 5)

    def _is_turned(self, products: Products) -> NDArray[np.bool_]:
        return self.draws.below(4, "title form", products.stem) == 0

    def _optional(self, share: float, what: str, products: Products, words: PerDepartment) -> Ids:
        has = self.draws.chance(share, f"has {what}", products.stem)
        return np.where(has, words.drawn(self.draws, what, products), EMPTY).astype(np.int32)


class PerDepartment:
    """Words of which each department has its own."""

    def __init__(
        self, fragments: Fragments, words: Callable[[Department], tuple[str, ...]], mark: str = ""
    ) -> None:
        self._table = fragments.add_all(mark + word for one in ALL_DEPARTMENTS for word in words(one))
        self._counts = np.array([len(words(one)) for one in ALL_DEPARTMENTS], np.int64)
        self._first = np.cumsum(self._counts) - self._counts

    def drawn(self, draws: Draws, purpose: str, products: Products) -> Ids:
        """Return a word of each product's department, the same for the same purpose."""
        return self.drawn_by(draws, purpose, products.department, products.stem)

    def drawn_by(self, draws: Draws, purpose: str, department: Numbers, *ids: Numbers) -> Ids:
        """Return a word of the departments, drawn by other records' numbers."""
        return self._table[self._first[department] + draws.below(self._counts[department], purpose, *ids)]


def _models() -> list[str]:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return [one + two for one in letters for two in letters]


def _places(department: Department) -> Numbers:
    """Return the category of each place: every category has one, the first ones have more."""
    count = len(department.categories)
    weights = 1 / (np.arange(count) + 3.0)
    more = np.floor((PLACES - count) * weights / weights.sum()).astype(np.int64)
    more[: PLACES - count - int(more.sum())] += 1
    # Successive places are of different categories.
    places = np.repeat(np.arange(count), 1 + more)
    return places[np.arange(PLACES) * 37 % PLACES]
