"""The numbers of records in the publishers' files, and in a miniature at a scale.

Sources: the publishers' own pages and papers, which `mmec sources` cites. They do not state the 5-core of Sports and
Tools; these two numbers are in proportion to the reviews.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.synthetic.raw_files.vocabulary import DEPARTMENTS

# Per department of `vocabulary`, in order.
_PRODUCTS = (786_868, 1_301_225, 962_876, 571_982)
_REVIEWS = (6_739_590, 6_898_955, 2_800_000, 2_000_000)
_LABELS = 2_226_509
_QUESTIONS = 923_787
_ASKED_PRODUCTS = 156_065
_QUERIES = (97_345, 15_180, 18_127)  # us, es, jp
_JUDGEMENTS = (1_818_825, 356_410, 446_053)
_JUDGED_PRODUCTS = (1_215_851, 259_973, 339_059)
_MORE_WITH_IMAGES = 27_139

LARGEST_SCALE = 10.0
# The fewest products of a department: two of each slot of `catalogue`.
LEAST_PRODUCTS = 256
# The fewest products with questions: the smallest of the three files has a tenth of them.
LEAST_ASKED = 10


@dataclass(frozen=True, slots=True)
class Volumes:
    """Numbers of records.

    Attributes:
        products: Products by department.
        reviews: Reviews by department.
        labels: MAVE's labels.
        questions: AmazonQA's questions.
        asked_products: Products with questions.
        queries: ESCI's queries by locale (us, es, jp).
        judgements: ESCI's judgements by locale.
        judged_products: ESCI's products by locale.
        more_with_images: Products of SQID's supplement; its main file has all US test products of the small version.
    """

    products: tuple[int, ...] = (0, 0, 0, 0)
    reviews: tuple[int, ...] = (0, 0, 0, 0)
    labels: int = 0
    questions: int = 0
    asked_products: int = 0
    queries: tuple[int, int, int] = (0, 0, 0)
    judgements: tuple[int, int, int] = (0, 0, 0)
    judged_products: tuple[int, int, int] = (0, 0, 0)
    more_with_images: int = 0

    def __post_init__(self) -> None:
        for name in ("products", "reviews"):
            if len(getattr(self, name)) != len(DEPARTMENTS):
                raise ValueError(f"{name}: one number for each of {len(DEPARTMENTS)} departments")


def volumes_at(scale: float) -> Volumes:
    """Return the numbers of records at a scale.

    Args:
        scale: 1 gives the publishers' own numbers.

    Raises:
        RecipeError: The scale is not above 0 and at most LARGEST_SCALE.
    """
    if not 0 < scale <= LARGEST_SCALE:
        raise RecipeError(f"a scale of {scale}: give one above 0 and at most {LARGEST_SCALE:g}")

    def scaled(number: int, least: int = 1) -> int:
        return max(least, round(number * scale))

    def locales(numbers: tuple[int, int, int], least: int) -> tuple[int, int, int]:
        one, two, three = (scaled(number, least) for number in numbers)
        return one, two, three

    return Volumes(
        products=tuple(scaled(number, LEAST_PRODUCTS) for number in _PRODUCTS),
        reviews=tuple(scaled(number) for number in _REVIEWS),
        labels=scaled(_LABELS),
        questions=scaled(_QUESTIONS, LEAST_ASKED),
        asked_products=scaled(_ASKED_PRODUCTS, LEAST_ASKED),
        queries=locales(_QUERIES, 1),
        judgements=locales(_JUDGEMENTS, 1),
        judged_products=locales(_JUDGED_PRODUCTS, LEAST_PRODUCTS),
        more_with_images=scaled(_MORE_WITH_IMAGES),
    )
