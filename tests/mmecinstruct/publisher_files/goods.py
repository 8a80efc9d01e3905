"""The content of the generated files: goods of a domain, and their buyers.

A domain is a publisher's category file (`Home_and_Kitchen`). A good depends on its domain and number alone, so that
two publishers' files of one domain tell of the same things, at whatever scale each is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop.vocabulary import brand_name, scatter, series_name

DAY = 86_400  # seconds
FIRST_DAY, LAST_DAY = 15_000, 17_800  # since 1970: from early 2011 to autumn 2018

# Domain -> (name of the top-level category, middle of the path -> nouns, singular).
DOMAINS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "Electronics": (
        "Electronics",
        {
            "Headphones & Audio": ("Headphone", "Speaker"),
            "Camera & Photo": ("Tripod", "Camera Bag"),
            "Computers & Accessories": ("Keyboard", "Laptop Stand"),
        },
    ),
    "Home_and_Kitchen": (
        "Home & Kitchen",
        {
            "Kitchen & Dining": ("Saucepan", "Water Bottle"),
            "Bedding": ("Blanket", "Pillow"),
            "Storage & Organization": ("Basket", "Shelf"),
        },
    ),
    "Sports_and_Outdoors": (
        "Sports & Outdoors",
        {
            "Exercise & Fitness": ("Yoga Mat", "Dumbbell"),
            "Camping & Hiking": ("Tent", "Lantern"),
            "Cycling": ("Bike Light", "Helmet"),
        },
    ),
    "Tools_and_Home_Improvement": (
        "Tools & Home Improvement",
        {
            "Power & Hand Tools": ("Screwdriver", "Cordless Drill"),
            "Lighting & Ceiling Fans": ("Table Lamp", "Ceiling Fan"),
            "Hardware": ("Door Handle", "Hinge"),
        },
    ),
    "Cell_Phones_and_Accessories": (
        "Cell Phones & Accessories",
        {
            "Cases": ("Flip Case", "Phone Cover"),
            "Accessories": ("Charger", "Car Mount"),
            "Cell Phones": ("Smartphone", "Feature Phone"),
        },
    ),
    "All_Beauty": (
        "All Beauty",
        {
            "Skin Care": ("Face Cream", "Face Mask"),
            "Hair Care": ("Shampoo", "Hair Brush"),
            "Tools & Accessories": ("Mirror", "Nail File"),
        },
    ),
    "Furniture": (
        "Furniture",
        {
            "Living Room Furniture": ("Sofa", "Coffee Table"),
            "Bedroom Furniture": ("Bed Frame", "Nightstand"),
            "Office Furniture": ("Desk", "Office Chair"),
        },
    ),
}
KINDS = (
    "Portable",
    "Compact",
    "Heavy Duty",
    "Folding",
    "Classic",
)  # each noun is a fine category of each kind

_MATERIALS = ("Steel", "Aluminum", "Bamboo", "Nylon", "Cotton", "Silicone", "Oak", "Ceramic")
_SIZES = ("Small", "Medium", "Large", "Extra Large", "2 Pack", "4 Pack")
_COLOURS = ("Black", "White", "Navy", "Olive", "Burgundy", "Silver", "Teal", "Mustard")

_PRAISE = {
    5: ("I love it", "This is excellent", "It works perfectly", "I could not be happier"),
    4: ("I like it a lot", "It is good", "It does the job well", "I am satisfied"),
    3: ("It is okay", "It is average", "It works but nothing more", "I have mixed feelings"),
    2: ("I am disappointed", "It is not very good", "It feels cheap", "I expected more"),
    1: ("It broke at once", "I want my money back", "This is terrible", "Do not buy this"),
}
_DETAILS = (
    "the finish looked just like the image",
    "my family uses it nearly every day",
    "it arrived two days earlier than promised",
    "the instructions were hard to read in the evening",
    "I compared it with three others before ordering",
    "my neighbor asked me where I bought mine",
    "the box was dented but the contents were fine",
    "it replaced an older one that lasted for years",
)


@dataclass(frozen=True, slots=True)
class Good:
    """One product. chance: a hash draw for the row's other attributes."""

    domain: str
    number: int
    asin: str
    title: str
    brand: str
    top: str
    middle: str
    fine: str
    noun: str
    colour: str
    material: str
    price: float
    image_id: str
    chance: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """A user's review of a good. seconds: UTC, of the day's start as in Amazon's files of 2018."""

    user: int
    good: int
    rating: int
    seconds: int
    chance: int


def asin_of(domain: str, number: int) -> str:
    """Return ten characters that are unique to domain and number."""
    return "B" + scatter(list(DOMAINS).index(domain) * 10**10 + number, 9, 36)


def user_of(number: int) -> str:
    """Return the id of a user: 14 characters, the first of them an A."""
    return "A" + scatter(number, 13, 36)


def good(domain: str, number: int, seed: int) -> Good:
    """Return the good of a domain with a number."""
    asin = asin_of(domain, number)
    chance = hash_draw(seed, "miniature good", asin)
    top, middles = DOMAINS[domain]
    rest, position = divmod(chance, len(middles))
    middle = list(middles)[position]
    rest, position = divmod(rest, 2)
    noun = middles[middle][position]
    rest, position = divmod(rest, len(KINDS))
    kind = KINDS[position]
    rest, position = divmod(rest, len(_MATERIALS))
    material = _MATERIALS[position]
    rest, position = divmod(rest, len(_COLOURS))
    colour = _COLOURS[position]
    rest, position = divmod(rest, len(_SIZES))
    size = _SIZES[position]
    rest, brand_number = divmod(rest, 300)
    rest, cents = divmod(rest, 20_000)
    # The series is a word that only this good has: goods of one kind are no near-duplicates of one another.
    series = series_name(number)
    brand = brand_name(brand_number)
    title = f"{brand} {series} {kind} {material} {noun}, {size}, {colour}"
    return Good(
        domain, number, asin, title, brand, top, middle, f"{kind} {plural(noun)}", noun, colour, material,
        round(4 + cents / 100, 2), scatter(list(DOMAINS).index(domain) * 10**10 + number, 11, 62), rest,
    )  # fmt: skip


def goods(domain: str, count: int, seed: int) -> Iterator[Good]:
    """Yield the first goods of a domain."""
    return (good(domain, number, seed) for number in range(count))


def plural(noun: str) -> str:
    """Return the plural of a noun of DOMAINS."""
    if noun.endswith("Shelf"):
        return noun.removesuffix("f") + "ves"
    return noun + ("es" if noun.endswith(("sh", "ch", "x", "s")) else "s")


def purchases(domain: str, goods_count: int, users: int, seed: int) -> Iterator[Purchase]:
    """Yield the users' purchases: 5 to 12 goods each, some goods far more often than others.

    Users of different domains are different people, so that out-of-domain users exist in no other domain.
    """
    first = list(DOMAINS).index(domain) * 10**9
    for user in range(first, first + users):
        chance = hash_draw(seed, "miniature user", str(user))
        taken: set[int] = set()
        for position in range(5 + chance % 8):
            luck = hash_draw(seed, "miniature purchase", str(user), str(position))
            fraction = (luck >> 32) / 2**32
            number = int(goods_count * fraction * fraction)  # the first goods are the popular ones
            if number in taken:
                continue
            taken.add(number)
            day = FIRST_DAY + luck % (LAST_DAY - FIRST_DAY)
            yield Purchase(
                user,
                number,
                (5, 5, 5, 4, 4, 3, 2, 1)[luck // 4096 % 8],
                day * DAY,
                luck >> 15,
            )


def review_text(bought: Good, purchase: Purchase) -> str:
    """Return the user's text: three sentences of at least ten words in all."""
    chance = purchase.chance
    rest, position = divmod(chance, 4)
    opening = _PRAISE[purchase.rating][position]
    rest, first = divmod(rest, len(_DETAILS))
    rest, second = divmod(rest, len(_DETAILS))
    return (
        f"{opening}, and {_DETAILS[first]}. I have used this {bought.noun.lower()} from {bought.brand} "
        f"for {2 + rest % 97} weeks now. Also, {_DETAILS[second]}."
    )
