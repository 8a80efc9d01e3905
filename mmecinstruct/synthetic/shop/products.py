"""Products of the sample shop: their attributes and texts.

Everything in a text besides noun and look (brand, series, material, size, price, form of the title) is independent of
the look and of the category within the pair. The two flags (whether the title names the category, and whether it shows
the look) have the same distribution in both categories of a pair. So a text that hides an attribute gives no hint of
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw, hash_order
from mmecinstruct.synthetic.shop.vocabulary import (
    FINE_CATEGORIES,
    PAIRS,
    SHAPES,
    TOP_CATEGORIES,
    brand_name,
    look_palette,
    scatter,
    series_name,
)
from mmecinstruct.synthetic.shop.wording import DESCRIPTIONS

# The share of titles that do not name the category, and the share of titles that show the look.
AMBIGUOUS_SHARE = 0.45
SHOWN_SHARE = 0.35
PRODUCTS_PER_BRAND = 75  # in all top-level categories together

_TITLE_FORMS = (
    "{brand} {series} {look}{material} {noun}, {size}",
    "{brand} {series} {look}{noun}, {material}, {size}",
    "{series} {look}{noun} by {brand}, {material}, {size}",
    "{brand} {look}{material} {noun}, {series} Collection, {size}",
)


@dataclass(frozen=True, slots=True)
class Product:
    """One product with its ground truth.

    Attributes:
        number: The running number.
        asin: The ten-character product id.
        fine: The index into FINE_CATEGORIES.
        colour: The colour.
        pattern: The pattern.
        shape: The shape.
        material: The material.
        size: The size.
        brand: The brand.
        series: The series, a word of its own.
        price: US dollars.
        names_category: Whether the title has the exact noun; else it has the pair's ambiguous one.
        shows_look: Whether the title has colour and pattern; else no text of the product has them.
        title: The clean title.
        image_id: The name of the product's image.
    """

    number: int
    asin: str
    fine: int
    colour: str
    pattern: str
    shape: str
    material: str
    size: str
    brand: str
    series: str
    price: float
    names_category: bool
    shows_look: bool
    title: str
    image_id: str

    @property
    def top(self) -> str:
        """The top-level category."""
        return FINE_CATEGORIES[self.fine].top

    @property
    def pair(self) -> int:
        """The index into PAIRS."""
        return FINE_CATEGORIES[self.fine].pair


def asin_of(number: int) -> str:
    """Return the ten-character product id of a running number."""
    return "B0S" + scatter(number, 7, 36)


def image_id_of(number: int) -> str:
    """Return the image name of a running number, in the form of real ones."""
    return "71" + scatter(number, 8, 62) + "L"


def make_products(products: int, seed: int) -> list[Product]:
    """Return the shop's products, category by category."""
    counts = [products // 30 + (index < products % 30) for index in range(len(FINE_CATEGORIES))]
    flags = [_flags(index, counts, seed) for index in range(len(FINE_CATEGORIES))]
    made: list[Product] = []
    for top in TOP_CATEGORIES:
        members = [
            (fine, position)
            for fine, category in enumerate(FINE_CATEGORIES)
            if category.top == top
            for position in range(counts[fine])
        ]
        looks = _looks(products, len(members), seed, top)
        brands = _brands(products, len(members), seed, top)
        for (fine, position), (colour, pattern), brand in zip(members, looks, brands, strict=True):
            names_category, shows_look = flags[fine][position]
            made.append(_product(len(made), fine, colour, pattern, brand, names_category, shows_look, seed))
    return made


def _flags(fine: int, counts: Sequence[int], seed: int) -> list[tuple[bool, bool]]:
    """Return (names the category, shows the look) of each product of a category.

    Their numbers follow from the smaller of the pair's two categories, so that an ambiguous title is equally often of
    either category.
    """
    pair = FINE_CATEGORIES[fine].pair
    smaller = min(counts[index] for index, other in enumerate(FINE_CATEGORIES) if other.pair == pair)
    ambiguous = round(AMBIGUOUS_SHARE * smaller)
    kinds = [(False, index < round(SHOWN_SHARE * ambiguous)) for index in range(ambiguous)]
    exact = counts[fine] - ambiguous
    kinds += [(True, index < round(SHOWN_SHARE * exact)) for index in range(exact)]
    return hash_order(kinds, seed, "shop flags", str(fine))


def _looks(products: int, members: int, seed: int, top: str) -> list[tuple[str, str]]:
    """Return a look for each product of a top-level category: every look once, then every look again."""
    colours, patterns = look_palette(products)
    looks = [(colour, pattern) for colour in colours for pattern in patterns]
    found: list[tuple[str, str]] = []
    while len(found) < members:
        found += hash_order(looks, seed, "shop looks", top, str(len(found)))
    return found[:members]


def _brands(products: int, members: int, seed: int, top: str) -> list[str]:
    """Return a brand for each product of a top-level category, each brand equally often."""
    number = max(4, products // PRODUCTS_PER_BRAND)
    return hash_order([brand_name(index % number) for index in range(members)], seed, "shop brands", top)


def _product(
    number: int,
    fine: int,
    colour: str,
    pattern: str,
    brand: str,
    names_category: bool,
    shows_look: bool,
    seed: int,
) -> Product:
    category = FINE_CATEGORIES[fine]
    pair = PAIRS[category.pair]
    rest = hash_draw(seed, "shop product", str(number))
    rest, form = divmod(rest, len(_TITLE_FORMS))
    rest, shape_number = divmod(rest, len(SHAPES))
    rest, material = divmod(rest, len(pair.materials))
    rest, size = divmod(rest, len(pair.sizes))
    rest, says_shape = divmod(rest, 2)
    lowest, highest = pair.prices
    price = lowest + rest % (highest - lowest) + 0.99
    shape = SHAPES[shape_number]
    words = look_words(colour, pattern, shape if says_shape else "regular") + " " if shows_look else ""
    series = series_name(number)
    title = _TITLE_FORMS[form].format(
        brand=brand,
        series=series,
        look=words.title(),
        material=pair.materials[material],
        noun=category.noun if names_category else pair.noun,
        size=pair.sizes[size],
    )
    return Product(
        number=number,
        asin=asin_of(number),
        fine=fine,
        colour=colour,
        pattern=pattern,
        shape=shape,
        material=pair.materials[material],
        size=pair.sizes[size],
        brand=brand,
        series=series,
        price=round(price, 2),
        names_category=names_category,
        shows_look=shows_look,
        title=title,
        image_id=image_id_of(number),
    )


def look_words(colour: str | None, pattern: str | None, shape: str = "regular") -> str:
    """Return the words of a look: `red striped`, `plain blue`, `tall red dotted`."""
    if pattern == "plain":
        words = ["plain", colour]
    else:
        words = [colour, pattern]
    if shape != "regular":
        words.insert(0, shape)
    return " ".join(word for word in words if word)


def description(product: Product, chance: int) -> str:
    """Return a sentence about a product that fits both categories of its pair. chance: a hash draw."""
    noun = PAIRS[product.pair].noun.lower()
    text = DESCRIPTIONS[chance // 11 % len(DESCRIPTIONS)].format(
        a="an" if noun[0] in "aeiou" else "a",
        noun=noun,
        material=product.material.lower(),
        brand=product.brand,
        series=product.series,
    )
    return text[0].upper() + text[1:]


def features(product: Product) -> list[str]:
    """Return the bullet points; the colour is among them only where the title shows the look."""
    points = [f"Material: {product.material}", f"Size: {product.size}"]
    if product.shows_look:
        points.append(f"Color: {product.colour.title()}, {product.pattern}")
    return points
