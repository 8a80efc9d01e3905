"""The dirt of real files, planted in the sample shop on purpose.

Each kind is planted in a few records, in more of them in a larger shop; no product has two kinds. The file
`planted_dirt.json` lists for each kind its fate (`rejected`, `cleaned`, `clustered`), the expected reason of a
rejection, and the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mmecinstruct.core.hashing import hash_choice, hash_order
from mmecinstruct.synthetic.shop.opinions import Question, Review
from mmecinstruct.synthetic.shop.products import Product, asin_of, image_id_of
from mmecinstruct.synthetic.shop.wording import FOREIGN_REVIEWS

HTML_TITLE = '<span class="a-size-medium a-color-secondary"'
SCRIPT_TITLE = "function clientLog(){var started = new Date().getTime();"
CSS_PRICE = ".a-box-inner{background-color:#fff}#alohaBuyBoxWidget .selected{background-color:#fffbf3}"
SCRIPT_PRICE = '<script type="text/javascript">P.when("A").execute(function(A){});</script>'
BULLET_IN_CATEGORY = "100% satisfaction, no expiration, no fees of any kind."
TAG_IN_CATEGORY = "</span></span></span>"
LONE_SURROGATE = "\ud83d"
# (text, masked text). Personal data of nobody: a reserved domain, a fictional number, a role for a name.
PERSONAL_DATA = {
    "email_in_review": ("Questions to shopper@mail.example please.", "Questions to [EMAIL] please."),
    "phone_in_review": ("Call (202) 555-0123 for details.", "Call [PHONE] for details."),
    "name_in_review": ("My name is Shopper.", "My name is [NAME]."),
    "url_in_snippet": ("Seen at https://deals.example/today?id=1.", "Seen at [URL]."),
}
# More than the five products that may share an image before it counts as a placeholder, unless the shop is tiny.
PLACEHOLDER_PRODUCTS = 8

# Kinds of product dirt: (records in the smallest shop, products per further record).
_PRODUCT_KINDS: dict[str, tuple[int, int]] = {
    "html_title": (2, 2_000),
    "script_title": (1, 5_000),
    "entity_title": (3, 2_000),
    "duplicate_row": (3, 1_000),
    "css_price": (2, 2_000),
    "script_price": (2, 2_000),
    "bullet_in_category": (2, 2_000),
    "tag_in_category": (2, 2_000),
    "brand_page": (3, 2_000),
    "thumbnails_only": (4, 1_000),
    "truncated_image": (2, 2_000),
    "tiny_image": (2, 2_000),
    "placeholder_image": (PLACEHOLDER_PRODUCTS, 10_000),
    "dead_image": (2, 2_000),
    "near_duplicate": (4, 1_000),
}
_REVIEW_KINDS: dict[str, tuple[int, int]] = {
    "foreign_review": (3, 2_000),
    "no_review_text": (3, 2_000),
    "surrogate_in_review": (1, 5_000),
    "email_in_review": (2, 2_000),
    "phone_in_review": (2, 2_000),
    "name_in_review": (2, 2_000),
}
_QUESTION_KINDS: dict[str, tuple[int, int]] = {
    "surrogate_in_snippet": (1, 5_000),
    "url_in_snippet": (2, 2_000),
}

# By kind: (fate, reason of the rejection).
FATES: dict[str, tuple[str, str]] = {
    "html_title": ("rejected", "title_not_text"),
    "script_title": ("rejected", "title_not_text"),
    "entity_title": ("cleaned", ""),
    "duplicate_row": ("rejected", "duplicate_id"),
    "css_price": ("cleaned", ""),
    "script_price": ("cleaned", ""),
    "bullet_in_category": ("cleaned", ""),
    "tag_in_category": ("cleaned", ""),
    "brand_page": ("cleaned", ""),
    "thumbnails_only": ("cleaned", ""),
    "truncated_image": ("rejected", "truncated_or_corrupt"),
    "tiny_image": ("rejected", "too_small"),
    "placeholder_image": ("rejected", "placeholder"),
    "dead_image": ("rejected", "dead_path"),
    "near_duplicate": ("clustered", ""),
    "foreign_review": ("rejected", "other_language"),
    "no_review_text": ("rejected", "no_text"),
    "surrogate_in_review": ("cleaned", ""),
    "surrogate_in_snippet": ("cleaned", ""),
    **dict.fromkeys(PERSONAL_DATA, ("cleaned", "")),
    "broken_line": ("rejected", "broken_json"),
    "other_locale": ("rejected", "other_locale"),
    "empty_image_url": ("rejected", "missing_url"),
}

# Flaws of rendered images; `dead_image` has no file.
IMAGE_FLAWS = {
    "truncated_image": "truncated",
    "tiny_image": "tiny",
    "placeholder_image": "placeholder",
    "dead_image": "dead",
}


@dataclass(frozen=True, slots=True)
class DirtPlan:
    """The kind of dirt of each dirty record.

    Attributes:
        products: Kinds by the product's number.
        reviews: Kinds by the review's index.
        questions: Kinds by the question's index.
        near_duplicates: Pairs of an original and its near-duplicate.
    """

    products: dict[int, str] = field(default_factory=dict)
    reviews: dict[int, str] = field(default_factory=dict)
    questions: dict[int, str] = field(default_factory=dict)
    near_duplicates: tuple[tuple[Product, Product], ...] = ()

    def image_flaw(self, product: Product) -> str:
        """Return the flaw of a product's image, empty if it has none."""
        return IMAGE_FLAWS.get(self.products.get(product.number, ""), "")


def plan_dirt(
    products: Sequence[Product],
    reviews: Sequence[Review],
    questions: Sequence[Question],
    images: int,
    seed: int,
) -> DirtPlan:
    """Choose the records that get dirt.

    Args:
        products: The products of the shop.
        reviews: The reviews of the shop.
        questions: The questions of the shop.
        images: The number of images that are numbered already.
        seed: The seed of all hash draws.
    """
    by_product = _choose(_PRODUCT_KINDS, len(products), len(products), seed, "products")
    near_duplicates: list[tuple[Product, Product]] = []
    for number, kind in by_product.items():
        if kind == "near_duplicate":
            index = len(near_duplicates)
            near_duplicates.append(
                (products[number], _near_duplicate(products[number], index, len(products), images, seed))
            )
    return DirtPlan(
        by_product,
        _choose(_REVIEW_KINDS, len(reviews), len(products), seed, "reviews"),
        _choose(_QUESTION_KINDS, len(questions), len(products), seed, "questions"),
        tuple(near_duplicates),
    )


def _choose(
    kinds: dict[str, tuple[int, int]], records: int, products: int, seed: int, what: str
) -> dict[int, str]:
    wanted = [kind for kind, (least, per) in kinds.items() for _ in range(least + products // per)]
    order = hash_order(range(records), seed, "shop dirt", what)
    return dict(zip(order, wanted, strict=False))


def _near_duplicate(product: Product, index: int, products: int, images: int, seed: int) -> Product:
    """Return the same product with a number of its own and a slightly different title."""
    title = (
        product.title.upper(),
        product.title.replace(",", " -"),
        product.title + "!",
        product.title + ", " + hash_choice(("New", "Original", "Genuine"), seed, "shop double", product.asin),
    )[index % 4]
    return replace(
        product,
        number=products + index,
        asin=asin_of(products + index),
        title=title,
        image_id=image_id_of(images + index),
    )


def foreign_text(chance: int) -> str:
    """Return a review that is not in English. chance: a hash draw."""
    return FOREIGN_REVIEWS[chance % len(FOREIGN_REVIEWS)]
