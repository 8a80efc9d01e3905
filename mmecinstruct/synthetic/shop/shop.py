"""The synthetic shop as one value, and the record of the dirt planted in its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmecinstruct.synthetic.shop import dirt
from mmecinstruct.synthetic.shop.links import Links
from mmecinstruct.synthetic.shop.opinions import Question, Review
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.purchases import User
from mmecinstruct.synthetic.shop.queries import Query

IMAGE_HOST = "https://images.sample-shop.example/"


@dataclass(frozen=True, slots=True)
class Shop:
    """All records of the shop, ready to be written.

    Attributes:
        seed: The seed of all hash draws.
        products: The products, by number.
        links: The relations between products.
        queries: The queries with relevance judgements.
        users: The users with their purchases.
        reviews: The reviews.
        questions: The questions.
        dirt_plan: The kind of dirt of each dirty record.
        images: Whether the files name any images.
    """

    seed: int
    products: list[Product]
    links: Links
    queries: list[Query]
    users: list[User]
    reviews: list[Review]
    questions: list[Question]
    dirt_plan: dirt.DirtPlan
    images: bool

    @property
    def all_products(self) -> list[Product]:
        """The products, followed by the near-duplicates of some of them."""
        return [*self.products, *(duplicate for _, duplicate in self.dirt_plan.near_duplicates)]


class PlantedDirt:
    """The record of planted dirt: kinds and records."""

    def __init__(self) -> None:
        """Create an empty record."""
        self.kinds: dict[str, list[dict[str, Any]]] = {}

    def note(self, kind: str, **record: Any) -> None:
        """Add one record of a kind."""
        self.kinds.setdefault(kind, []).append(record)

    def as_json(self) -> dict[str, Any]:
        """Return fate, reason and records by kind, kinds sorted."""
        return {
            kind: {"fate": dirt.FATES[kind][0], "reason": dirt.FATES[kind][1], "records": records}
            for kind, records in sorted(self.kinds.items())
        }


def image_url(image_id: str, code: str = "") -> str:
    """Return the URL of an image. code: a size code of the image server."""
    return f"{IMAGE_HOST}I/{image_id}{code}.jpg"
