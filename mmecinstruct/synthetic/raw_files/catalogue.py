"""The miniature's products: their attributes and titles.

All attributes of a product follow from its key. Its slot, the remainder of its number by `SLOTS`, determines its
category, so the products of a category are found by counting, without a table. Among four successive products of a
slot, some are near-duplicates of the first: another colour, or the same title.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.synthetic.raw_files.codes import SPACE_BITS, product_key
from mmecinstruct.synthetic.raw_files.fragments import EMPTY, Fragments, Ids
from mmecinstruct.synthetic.raw_files.hash_draws import HashDraws, Numbers
from mmecinstruct.synthetic.raw_files.vocabulary import (
    ADJECTIVES,
    ALL_DEPARTMENTS,
    COLOURS,
    PACKS,
    Department,
    brand_names,
)
from mmecinstruct.synthetic.shop.vocabulary import series_name

# The slots of a department.
SLOTS = 128
# Successive products of a slot; some are variants of the first.
FAMILY = 4
# Shares of variants among all but the first product of a family.
COLOUR_VARIANTS = 0.07
SAME_TITLES = 0.012
# Key spaces after those of the departments.
JUDGED, JUDGED_ES, JUDGED_JP, OUTSIDE = 4, 5, 6, 7
# One in so many judged products is in a department's file, where the department has one.
SHARED_ROWS = 10
# The column of a title's fragments with the colour, after a comma and a blank.
COLOUR_COLUMN = 9

_SERIES = 5000
_OTHER = len(ALL_DEPARTMENTS) - 1


@dataclass(frozen=True, slots=True)
class Products:
    """Aligned arrays of products.

    Attributes:
        key: The products' keys.
        department: Their departments, as indices into `ALL_DEPARTMENTS`.
        slot: Their slots.
        stem: The key of the product whose title they vary; else their own key.
    """

    key: Numbers
    department: Numbers
    slot: Numbers
    stem: Numbers

    def at(self, rows: Numbers) -> Products:
        """Return the products at some rows."""
        return Products(self.key[rows], self.department[rows], self.slot[rows], self.stem[rows])

    def beside(self, others: Products) -> Products:
        """Return these products followed by others."""
        return Products(
            np.concatenate([self.key, others.key]),
            np.concatenate([self.department, others.department]),
            np.concatenate([self.slot, others.slot]),
            np.concatenate([self.stem, others.stem]),
        )


class Catalogue:
    """Products by number, with their attributes and titles. All methods work on arrays."""

    def __init__(self, fragments: Fragments, draws: HashDraws, department_products: tuple[int, ...]) -> None:
        self.draws = draws
        self.department_products = np.array([*department_products, 0], np.int64)
        self.category_of_slot = np.stack([_slot_categories(department) for department in ALL_DEPARTMENTS])
        self._first_category = np.cumsum([0, *(len(one.categories) for one in ALL_DEPARTMENTS)])[:-1]
        self.categories = [category for one in ALL_DEPARTMENTS for category in one.categories]

        def table(words: tuple[str, ...] | list[str], prefix: str = "") -> Ids:
            return fragments.add_all(prefix + word for word in words)

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
        """Return products of a department's file by their numbers in it, from 0."""
        return self._family(department, np.broadcast_to(department, numbers.shape), numbers, SLOTS)

    def judged(self, numbers: Numbers) -> Products:
        """Return judged products of all departments; some of them are in a department's file."""
        columns = SLOTS * len(ALL_DEPARTMENTS)
        own = self._family(JUDGED, numbers % columns // SLOTS, numbers, columns)
        row = numbers // columns
        shared_number = own.slot + SLOTS * (row // SHARED_ROWS)
        shared = (row % SHARED_ROWS == 0) & (shared_number < self.department_products[own.department])
        other = self.of_department(np.minimum(own.department, _OTHER), shared_number)
        return Products(
            np.where(shared, other.key, own.key),
            own.department,
            own.slot,
            np.where(shared, other.stem, own.stem),
        )

    def of_keys(self, keys: Numbers) -> Products:
        """Return products by their keys; they are in a department's file, or in no file."""
        space, numbers = keys >> SPACE_BITS, keys & ((1 << SPACE_BITS) - 1)
        return self._family(space, np.minimum(space, _OTHER), numbers, SLOTS)

    def _family(self, space: int | Numbers, department: Numbers, numbers: Numbers, columns: int) -> Products:
        member = numbers // columns % FAMILY
        own = product_key(space, numbers)
        kind = self.draws.kinds((COLOUR_VARIANTS, SAME_TITLES), "family", own)
        stem = np.where((member > 0) & (kind > 0), product_key(space, numbers - member * columns), own)
        return Products(own, department, numbers % SLOTS, stem)

    def category(self, products: Products) -> Numbers:
        """Return the indices of the products' categories in `categories`."""
        return (
            self._first_category[products.department]
            + self.category_of_slot[products.department, products.slot]
        )

    def brand(self, products: Products) -> Numbers:
        """Return the indices of the products' brands; few brands have many products."""
        sampled = self.draws.fractions("brand", products.stem)
        number = (len(self.brands) * sampled**2.5).astype(np.int64)
        return (number * 7 + products.department * 997) % len(self.brands)

    def colour(self, products: Products) -> Numbers:
        """Return the indices of the products' colours, which distinguish variants."""
        same = self._kinds(products) == 2
        return self.draws.below(len(COLOURS), "colour", np.where(same, products.stem, products.key))

    def _kinds(self, products: Products) -> Numbers:
        """Return 1 for products that differ from their stem in colour, 2 for those of the same title, else 0."""
        kinds = self.draws.kinds((COLOUR_VARIANTS, SAME_TITLES), "family", products.key)
        return np.where(products.stem == products.key, 0, kinds)

    def cents(self, products: Products) -> Numbers:
        """Return the products' prices in cents."""
        low, high = self._prices[products.department].T
        sampled = self.draws.fractions("price", products.stem)
        dollars = low + ((high - low) * sampled**2.5 * (1 + 4 * (sampled > 0.97))).astype(np.int64)
        ends = np.array([99, 95, 0, 49, 88, 50, 97])
        return dollars * 100 + ends[self.draws.below(len(ends), "cents", products.stem)]

    def image_words(self, products: Products, position: Numbers) -> NDArray[np.uint64]:
        """Return 64 random bits that name an image of each product. position: which of its images, from 0."""
        return self.draws.words("picture", products.key, position)

    def titles(self, products: Products, escaped: NDArray[np.bool_] | None = None) -> Ids:
        """Return the titles [n, 11].

        Args:
            products: The products [n].
            escaped: The rows in which an `&` is written `&amp;` [n].
        """
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
        feature = self._features.choose(draws, "feature", products)
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
        """Return the column of the titles' fragments with the noun, after a blank."""
        return np.where(self._is_turned(products), 1, 5)

    def _is_turned(self, products: Products) -> NDArray[np.bool_]:
        return self.draws.below(4, "title form", products.stem) == 0

    def _optional(self, share: float, what: str, products: Products, words: PerDepartment) -> Ids:
        has = self.draws.chance(share, f"has {what}", products.stem)
        return np.where(has, words.choose(self.draws, what, products), EMPTY).astype(np.int32)


class PerDepartment:
    """Words of the departments, each with its own list."""

    def __init__(
        self, fragments: Fragments, words: Callable[[Department], tuple[str, ...]], prefix: str = ""
    ) -> None:
        self._table = fragments.add_all(prefix + word for one in ALL_DEPARTMENTS for word in words(one))
        self._counts = np.array([len(words(one)) for one in ALL_DEPARTMENTS], np.int64)
        self._first = np.cumsum(self._counts) - self._counts

    def choose(self, draws: HashDraws, purpose: str, products: Products) -> Ids:
        """Return a word of each product's department, by a hash draw of purpose and stem."""
        return self.choose_by(draws, purpose, products.department, products.stem)

    def choose_by(self, draws: HashDraws, purpose: str, department: Numbers, *ids: Numbers) -> Ids:
        """Return a word of each department, by a hash draw of purpose and ids."""
        return self._table[self._first[department] + draws.below(self._counts[department], purpose, *ids)]


def _models() -> list[str]:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return [one + two for one in letters for two in letters]


def _slot_categories(department: Department) -> Numbers:
    """Return the category of each slot; every category has at least one slot, the first ones have more."""
    count = len(department.categories)
    weights = 1 / (np.arange(count) + 3.0)
    more = np.floor((SLOTS - count) * weights / weights.sum()).astype(np.int64)
    more[: SLOTS - count - int(more.sum())] += 1
    # Successive slots are of different categories.
    slots = np.repeat(np.arange(count), 1 + more)
    return slots[np.arange(SLOTS) * 37 % SLOTS]
