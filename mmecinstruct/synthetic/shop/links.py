"""Relations between products, by rules that a model can learn.

* also bought: a product of the complementary pair (dishes with cups); the nouns determine it.
* similar: the same category and the same colour.
* also viewed: the same category and another colour.

For each similar link there is one viewed link of the same first product, and both second titles either show or hide
the look. So where a title hides the look, similar and viewed are equally frequent, and only the images distinguish
them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw, hash_order
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.vocabulary import PAIR_NUMBER_BY_NOUN, PAIRS

SIMILAR_PER_PRODUCT = 3
LONGEST_SEARCH = 200  # candidates


@dataclass(frozen=True, slots=True)
class Links:
    """The numbers of linked products, by the product's number and relation."""

    bought: dict[int, list[int]]
    viewed: dict[int, list[int]]
    similar: dict[int, list[int]]


def make_links(products: list[Product], seed: int) -> Links:
    """Return the links of all products; no two products are linked twice."""
    by_colour: dict[tuple[int, str], list[Product]] = defaultdict(list)
    by_shown: dict[tuple[int, bool], list[Product]] = defaultdict(list)
    by_pair: dict[int, list[Product]] = defaultdict(list)
    for product in products:
        by_colour[product.fine, product.colour].append(product)
        by_shown[product.fine, product.shows_look].append(product)
        by_pair[product.pair].append(product)
    bought: dict[int, list[int]] = defaultdict(list)
    viewed: dict[int, list[int]] = defaultdict(list)
    similar: dict[int, list[int]] = defaultdict(list)
    linked: set[tuple[int, int]] = set()
    for (fine, colour), group in by_colour.items():
        ring = hash_order(group, seed, "shop similar", str(fine), colour)
        for one, two in _ring_pairs(ring):
            chance = hash_draw(seed, "shop link", one.asin, two.asin)
            first, second = (two, one) if chance % 2 else (one, two)
            other = _other_colour(first, by_shown[fine, second.shows_look], linked, chance // 2)
            if other is None:
                continue
            similar[first.number].append(second.number)
            viewed[first.number].append(other.number)
            linked.add(_key(first, other))
            companions = by_pair[PAIR_NUMBER_BY_NOUN[PAIRS[first.pair].complement]]
            companion = companions[chance // 1_000_003 % len(companions)]
            if _key(first, companion) not in linked:
                linked.add(_key(first, companion))
                bought[first.number].append(companion.number)
    return Links(bought, viewed, similar)


def _ring_pairs(ring: list[Product]) -> list[tuple[Product, Product]]:
    """Return each product with the next ones of the ring, no pair twice."""
    reach = min(SIMILAR_PER_PRODUCT, len(ring) // 2)
    pairs: dict[tuple[int, int], tuple[Product, Product]] = {}
    for position, product in enumerate(ring):
        for step in range(1, reach + 1):
            other = ring[(position + step) % len(ring)]
            pairs.setdefault(_key(product, other), (product, other))
    return list(pairs.values())


def _other_colour(
    product: Product, candidates: list[Product], linked: set[tuple[int, int]], start: int
) -> Product | None:
    """Return the first candidate from index `start` on that has another colour and is not linked yet."""
    for step in range(min(len(candidates), LONGEST_SEARCH)):
        other = candidates[(start + step) % len(candidates)]
        if other.colour != product.colour and _key(product, other) not in linked:
            return other
    return None


def _key(first: Product, second: Product) -> tuple[int, int]:
    return min(first.number, second.number), max(first.number, second.number)
