"""The drawn shop as one value, and the record of the dirt planted in its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmecinstruct.synthetic.shop import dirt
from mmecinstruct.synthetic.shop.links import Links
from mmecinstruct.synthetic.shop.opinions import DAY, Question, Review
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.purchases import User
from mmecinstruct.synthetic.shop.queries import Query

IMAGE_HOST = "https://images.sample-shop.example/"


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that was drawn, ready to be written."""

    seed: int
    products: list[Product]
    links: Links
    queries: list[Query]
    users: list[User]
    reviews: list[Review]
    questions: list[Question]
    plan: dirt.DirtPlan
    images: bool  # whether the files name any

    @property
    def all_products(self) -> list[Product]:
        """The products and the near-duplicates of some."""
        return [*self.products, *(double for _, double in self.plan.near_duplicates)]

    def review_id(self, review: Review) -> str:
        """Return a review's id as its reader makes it: product, reviewer and time."""
        asin, user = self.products[review.product].asin, self.users[review.user].user_id
        return f"amazon18:{asin}:{user}:{review.day * DAY}"


class PlantedDirt:
    """Collects what was planted and where."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[dict[str, Any]]] = {}

    def note(self, kind: str, **record: Any) -> None:
        """Note one record of a kind."""
        self.kinds.setdefault(kind, []).append(record)

    def as_json(self) -> dict[str, Any]:
        """Return kind -> fate, reason and records, kinds sorted."""
        return {
            kind: {"fate": dirt.FATES[kind][0], "reason": dirt.FATES[kind][1], "records": records}
            for kind, records in sorted(self.kinds.items())
        }


def image_url(image_id: str, code: str = "") -> str:
    """Return the address of an image; code: a size code of the image server."""
    return f"{IMAGE_HOST}I/{image_id}{code}.jpg"
