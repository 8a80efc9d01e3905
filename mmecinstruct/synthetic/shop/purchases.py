"""Users with tastes, and their purchases.

About half of the users are loyal to a look: all their purchases within one top-level category have the same colour and
pattern, whatever the titles say. The others are loyal to a brand, which every title names.

No text may reveal what a look-loyal user buys last. So every product is bought equally often, and the products of a
look are divided into those in histories and those bought last. A last product is in no other look-loyal history, so a
model that memorises which titles were bought together learns nothing. Brand-loyal users equalise the purchase counts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw, hash_order
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.vocabulary import scatter

PURCHASES_PER_PRODUCT = 6
# Of a look's products, those that are bought last.
LAST_SHARE = 0.45
MIN_PURCHASES = 5  # as in the publisher's 5-core
MAX_HISTORY = 6  # of a look-loyal user


@dataclass(frozen=True, slots=True)
class User:
    """One user.

    Attributes:
        user_id: The id in the review files.
        top: The top-level category of all purchases.
        colour: The colour of a look-loyal user's purchases.
        pattern: The pattern of a look-loyal user's purchases.
        brand: The brand of a brand-loyal user's purchases.
        bought: The numbers of the bought products in order of time.
    """

    user_id: str
    top: str
    colour: str | None
    pattern: str | None
    brand: str | None
    bought: tuple[int, ...]


def make_users(products: list[Product], seed: int) -> list[User]:
    """Return the users of the shop, look-loyal ones first."""
    users: list[User] = []
    times_bought: dict[int, int] = defaultdict(int)
    by_look: dict[tuple[str, str, str], list[Product]] = defaultdict(list)
    by_brand: dict[tuple[str, str], list[Product]] = defaultdict(list)
    for product in products:
        by_look[product.top, product.colour, product.pattern].append(product)
        by_brand[product.top, product.brand].append(product)
    for (top, colour, pattern), group in by_look.items():
        for bought in _look_baskets(group, seed):
            users.append(User(_user_id(len(users)), top, colour, pattern, None, bought))
            for number in bought:
                times_bought[number] += 1
    for (top, brand), group in by_brand.items():
        for bought in _brand_baskets(group, times_bought, seed):
            users.append(User(_user_id(len(users)), top, None, None, brand, bought))
    return users


def _user_id(number: int) -> str:
    return "A" + scatter(number, 13, 36)


def _look_baskets(group: list[Product], seed: int) -> list[tuple[int, ...]]:
    """Return the purchases of a look's users: a stretch of the history products, then a last product."""
    last_products = min(int(LAST_SHARE * len(group)), len(group) - (MIN_PURCHASES - 1))
    if last_products < 1:
        return []
    ordered = hash_order(group, seed, "shop taste", group[0].asin)
    last, pool = ordered[:last_products], ordered[last_products:]
    baskets = []
    position = 0
    for product in last:
        longest = min(len(pool), MAX_HISTORY)
        shortest = MIN_PURCHASES - 1
        length = shortest + hash_draw(seed, "shop history", product.asin) % (longest - shortest + 1)
        history = [pool[(position + step) % len(pool)].number for step in range(length)]
        position += length
        baskets.append((*hash_order(history, seed, "shop history order", product.asin), product.number))
    return baskets


def _brand_baskets(group: list[Product], times_bought: dict[int, int], seed: int) -> list[tuple[int, ...]]:
    """Return the purchases of a brand's users, who always take the products with the fewest purchases so far."""
    if len(group) < MIN_PURCHASES:
        return []
    wanted = {p.number: max(1, PURCHASES_PER_PRODUCT - times_bought[p.number]) for p in group}
    baskets: list[tuple[int, ...]] = []
    while max(wanted.values()) > 0:
        key = (group[0].asin, str(len(baskets)))
        # So many that all products reach their number together with the one that is in each basket.
        length = min(len(group), max(MIN_PURCHASES, -(-sum(wanted.values()) // max(wanted.values()))))
        shuffled = hash_order(list(wanted), seed, "shop basket order", *key)
        basket = sorted(shuffled, key=lambda number: -wanted[number])[:length]
        for number in basket:
            wanted[number] = max(0, wanted[number] - 1)
        baskets.append(tuple(hash_order(basket, seed, "shop basket time", *key)))
    return baskets
