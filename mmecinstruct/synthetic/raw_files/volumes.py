"""How many records the publishers' files have, and how many the miniature's at a scale.

Sources: the publishers' own pages and papers, as docs/reference/sources.md cites them. The 5-core of Sports and
Tools is not stated there; theirs is in proportion to the reviews.
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
LEAST_PRODUCTS = 256  # of a department: two of each place of `catalogue`
LEAST_ASKED = 10  # products with questions: the smallest of the three files has a tenth of them


@dataclass(frozen=True, slots=True)
class Volumes:
    """Numbers of records. products, reviews: per department. queries, judged_products: per locale (us, es, jp)."""

    products: tuple[int, ...] = (0, 0, 0, 0)
    reviews: tuple[int, ...] = (0, 0, 0, 0)
    labels: int = 0
    questions: int = 0
    asked_products: int = 0
    queries: tuple[int, int, int] = (0, 0, 0)
    judgements: tuple[int, int, int] = (0, 0, 0)
    judged_products: tuple[int, int, int] = (0, 0, 0)
    more_with_images: int = (
        0  # products of SQID's supplement; its main file has all US test products of the small version
    )

    def __post_init__(self) -> None:
        for name in ("products", "reviews"):
            if len(getattr(self, name)) != len(DEPARTMENTS):
                raise ValueError(f"{name}: one number for each of {len(DEPARTMENTS)} departments")


def volumes_at(scale: float) -> Volumes:
    """Return the numbers of records at a scale, 1 being the publishers' own.

    Raises RecipeError for a scale that is not above 0 and at most LARGEST_SCALE.
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
