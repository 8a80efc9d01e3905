"""The vocabulary of the sample shop: categories in confusable pairs, looks, materials, brands, series.

A pair is two fine-grained categories that share one ambiguous noun: a title with "Cup" fits Mugs and Tumblers alike,
and only the image distinguishes them. Material, size and price depend on the pair, not on the category, so that they
reveal nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

# Multiplier of `scatter`: coprime to 2, 3 and 31, so to 36**n and 62**n too.
_MULTIPLIER = 11_400_714_819_323_198_485
_BASE_36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE_62 = _BASE_36 + "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class FineCategory:
    """One fine-grained category.

    Attributes:
        name: The plural name in labels.
        noun: The noun in titles.
        top: The top-level category.
        pair: The index into PAIRS.
    """

    name: str
    noun: str
    top: str
    pair: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two categories that share an ambiguous noun.

    Attributes:
        top: The top-level category.
        middle: The middle of the category path.
        noun: The ambiguous noun, which fits both categories.
        names: The names of the categories.
        nouns: The exact nouns of the categories.
        complement: The ambiguous noun of the pair with complementary products.
        materials: The materials of both categories.
        sizes: The sizes of both categories.
        prices: The lowest and highest price in US dollars.
    """

    top: str
    middle: str
    noun: str
    names: tuple[str, str]
    nouns: tuple[str, str]
    complement: str
    materials: tuple[str, ...]
    sizes: tuple[str, ...]
    prices: tuple[int, int]


HOME, SPORTS, OFFICE = "Home & Kitchen", "Sports & Outdoors", "Office Products"
TOYS, GARDEN = "Toys & Games", "Garden & Outdoor"
TOP_CATEGORIES: tuple[str, ...] = (HOME, SPORTS, OFFICE, TOYS, GARDEN)

_METALS = ("Stainless Steel", "Aluminum", "Enamel")
_CLOTHS = ("Cotton", "Polyester", "Canvas")
_PAPERS = ("Recycled Paper", "Stone Paper", "Vellum Paper")
_PLASTICS = ("Plastic", "Bamboo Fiber", "Resin")

PAIRS: tuple[Pair, ...] = (
    Pair(HOME, "Drinkware", "Cup", ("Mugs", "Tumblers"), ("Mug", "Tumbler"), "Dish",
         ("Ceramic", *_METALS[:2]), ("10 oz", "12 oz", "14 oz", "16 oz"), (8, 30)),
    Pair(HOME, "Tableware", "Dish", ("Bowls", "Plates"), ("Bowl", "Plate"), "Cup",
         ("Stoneware", "Porcelain", "Melamine"), ("7 inch", "8 inch", "9 inch", "10 inch"), (6, 28)),
    Pair(HOME, "Cookware", "Cooking Pot", ("Saucepans", "Stockpots"), ("Saucepan", "Stockpot"), "Dish",
         (*_METALS,), ("2 Quart", "3 Quart", "4 Quart", "5 Quart"), (18, 75)),
    Pair(SPORTS, "Team Sports", "Game Ball", ("Footballs", "Basketballs"), ("Football", "Basketball"),
         "Sports Bag", ("Rubber", "Composite", "Microfiber"), ("Size 3", "Size 4", "Size 5"), (9, 45)),
    Pair(SPORTS, "Luggage & Packs", "Sports Bag", ("Backpacks", "Duffels"), ("Backpack", "Duffel"), "Hat",
         ("Nylon", *_CLOTHS[1:]), ("20 Liter", "25 Liter", "30 Liter", "35 Liter"), (19, 90)),
    Pair(SPORTS, "Headwear", "Hat", ("Caps", "Beanies"), ("Cap", "Beanie"), "Sports Bag",
         ("Wool Blend", "Cotton", "Fleece"), ("Small", "Medium", "Large"), (9, 32)),
    Pair(OFFICE, "Writing Supplies", "Writing Instrument", ("Ballpoint Pens", "Pencils"),
         ("Ballpoint Pen", "Pencil"), "Writing Book",
         ("Cedar", "Aluminum", "Recycled Plastic"), ("6 Count", "12 Count", "24 Count"), (4, 24)),
    Pair(OFFICE, "Paper", "Writing Book", ("Spiral Notebooks", "Journals"), ("Spiral Notebook", "Journal"),
         "Writing Instrument", _PAPERS, ("80 Sheets", "100 Sheets", "120 Sheets", "160 Sheets"), (5, 26)),
    Pair(OFFICE, "Desk Storage", "Desk Organizer", ("Pen Holders", "Letter Trays"),
         ("Pen Holder", "Letter Tray"), "Writing Instrument",
         ("Plastic", "Steel", "Bamboo"), ("1 Count", "2 Count", "3 Count"), (8, 38)),
    Pair(TOYS, "Stuffed Toys", "Stuffed Animal", ("Teddy Bears", "Plush Rabbits"),
         ("Teddy Bear", "Plush Rabbit"), "Toy Vehicle",
         ("Polyester", "Organic Cotton", "Fleece"), ("9 inch", "11 inch", "13 inch", "15 inch"), (10, 42)),
    Pair(TOYS, "Play Vehicles", "Toy Vehicle", ("Toy Cars", "Toy Trains"), ("Toy Car", "Toy Train"),
         "Stuffed Animal", ("Beech", "Die Cast", "Plastic"), ("4 inch", "5 inch", "6 inch"), (7, 35)),
    Pair(TOYS, "Outdoor Play", "Wind Toy", ("Kites", "Pinwheels"), ("Kite", "Pinwheel"), "Toy Vehicle",
         ("Ripstop Nylon", "Polyester", "Paper"), ("20 inch", "24 inch", "28 inch", "32 inch"), (6, 30)),
    Pair(GARDEN, "Pots & Boxes", "Planter", ("Flower Pots", "Window Boxes"), ("Flower Pot", "Window Box"),
         "Plant Waterer", ("Terracotta", "Fiberstone", "Resin"), ("8 inch", "10 inch", "12 inch"), (9, 48)),
    Pair(GARDEN, "Watering", "Plant Waterer", ("Watering Cans", "Garden Sprayers"),
         ("Watering Can", "Garden Sprayer"), "Planter",
         ("Galvanized Steel", "Plastic", "Aluminum"), ("1 Liter", "2 Liter", "3 Liter"), (9, 40)),
    Pair(GARDEN, "Patio Furniture", "Outdoor Seat", ("Garden Chairs", "Garden Benches"),
         ("Garden Chair", "Garden Bench"), "Planter",
         ("Acacia", "Coated Steel", "Resin Wicker"), ("1 Count", "2 Count"), (39, 190)),
)  # fmt: skip

FINE_CATEGORIES: tuple[FineCategory, ...] = tuple(
    FineCategory(name, noun, pair.top, number)
    for number, pair in enumerate(PAIRS)
    for name, noun in zip(pair.names, pair.nouns, strict=True)
)
CATEGORY_BY_NAME: dict[str, FineCategory] = {category.name: category for category in FINE_CATEGORIES}
PAIR_NUMBER_BY_NOUN: dict[str, int] = {pair.noun: number for number, pair in enumerate(PAIRS)}

# Well separated hues; a small shop uses only the first ones (see `look_palette`).
COLOURS: tuple[str, ...] = (
    "red", "blue", "green", "yellow", "purple", "black", "orange", "pink", "brown", "gray",
)  # fmt: skip
PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checked")
SHAPES: tuple[str, ...] = ("regular", "tall", "wide")

# Every word that reveals a look. No text of a product that hides its look has one.
LOOK_WORDS: frozenset[str] = frozenset(
    [*COLOURS, *PATTERNS, "tall", "wide", "stripes", "dots", "checks", "grey", "solid"]
)

_BRAND_HEADS = (
    "Oak", "Harbor", "Summit", "River", "North", "Meadow", "Stone", "Cedar", "Bright", "Lake",
    "Pioneer", "Crown", "Willow", "Anchor", "Falcon", "Prairie", "Beacon", "Canyon", "Juniper", "Atlas",
)  # fmt: skip
_BRAND_TAILS = (
    "line", "craft", "works", "mark", "house", "point", "field", "way", "gate", "ton",
    "well", "side", "dale", "ridge", "port", "stead", "haven", "ford", "crest", "made",
)  # fmt: skip
_SERIES_HEADS = (
    "Amber", "Arrow", "Autumn", "Badger", "Barley", "Birch", "Bramble", "Breeze", "Bridge", "Brook",
    "Candle", "Castle", "Chapel", "Clover", "Cobble", "Comet", "Cotton", "Cricket", "Crystal", "Daisy",
    "Dapper", "Drift", "Eagle", "Echo", "Elder", "Ember", "Fable", "Feather", "Fern", "Fiddle",
    "Finch", "Flint", "Forest", "Fox", "Frost", "Garnet", "Ginger", "Granite", "Hazel", "Heather",
    "Heron", "Hollow", "Honey", "Hunter", "Ivy", "Jasper", "Kestrel", "Lantern", "Laurel", "Linden",
    "Lunar", "Maple", "Marble", "Marsh", "Mason", "Meteor", "Mill", "Moon", "Moss", "Nimble",
    "Ocean", "Orchard", "Otter", "Pebble", "Pepper", "Pine", "Plum", "Poplar", "Quarry", "Quill",
    "Raven", "Reed", "Ripple", "Robin", "Rowan", "Saddle", "Sage", "Shadow", "Shell", "Spark",
    "Sparrow", "Spring", "Star", "Storm", "Summer", "Sunny", "Swift", "Thistle", "Thunder", "Timber",
    "Trail", "Tulip", "Valley", "Velvet", "Walnut", "Wander", "Water", "Whistle", "Winter", "Wonder",
)  # fmt: skip
_SERIES_TAILS = (
    "bank", "beam", "bell", "berry", "bloom", "bough", "burn", "cliff", "cove", "dell",
    "down", "fall", "fare", "glen", "glow", "grove", "hearth", "hill", "holm", "keep",
    "land", "lark", "leaf", "lodge", "mere", "mist", "nest", "path", "peak", "plume",
    "pond", "rest", "rise", "rock", "root", "run", "shade", "shore", "song", "spire",
    "step", "stream", "thorn", "vale", "view", "walk", "ward", "wind", "wing", "wood",
)  # fmt: skip


def look_palette(products: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the colours and patterns of a shop of that many products.

    A small shop has fewer looks, so that each look has several products per category, as queries, similar products and
    tastes need.
    """
    if products < 450:
        return COLOURS[:4], PATTERNS[:2]
    if products < 2500:
        return COLOURS[:8], PATTERNS[:3]
    return COLOURS, PATTERNS


def brand_name(number: int) -> str:
    """Return the brand of a number from 0: one word, unique to the number."""
    heads, tails = len(_BRAND_HEADS), len(_BRAND_TAILS)
    within, above = number % (heads * tails), number // (heads * tails)
    name = _BRAND_HEADS[within % heads] + _BRAND_TAILS[(within // heads + within) % tails]
    return name if above == 0 else f"{name}{_SERIES_HEADS[above % 100]}{above // 100 or ''}"


def series_name(number: int) -> str:
    """Return the series of a number from 0: one word, unique to the product, so that all titles differ."""
    heads, tails = len(_SERIES_HEADS), len(_SERIES_TAILS)
    rest, tail = divmod(number * 7919 % (heads * tails) if number < heads * tails else number, tails)
    name = _SERIES_HEADS[rest % heads] + _SERIES_TAILS[tail]
    above = rest // heads
    return name if above == 0 else f"{name}{_SERIES_HEADS[above % heads]}{above // heads or ''}"


def scatter(number: int, length: int, base: int) -> str:
    """Return a number as digits, scrambled so that neighbours look unrelated.

    The map is one to one for numbers below base**length, so ids never collide.

    Args:
        number: The number, from 0.
        length: The number of digits.
        base: 36 or 62.
    """
    digits = _BASE_36 if base == 36 else _BASE_62
    rest = (number + 1) * _MULTIPLIER % base**length
    text = ""
    for _ in range(length):
        rest, digit = divmod(rest, base)
        text += digits[digit]
    return text[::-1]


def file_name(top: str) -> str:
    """Return a top-level category as in the publisher's file names: `Home_and_Kitchen`."""
    return top.replace("&", "and").replace(" ", "_")
