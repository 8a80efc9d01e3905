"""The ground truth of the sample shop: attributes of its records for which no raw format has a field."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop.amazon_files import written_review_id
from mmecinstruct.synthetic.shop.image_spec import SPECS, ImageSpec
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.shop import Shop
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES


def ground_truth_tables(shop: Shop) -> Iterable[tuple[str, pa.Table]]:
    """Yield (name, table) of the ground truth for each kind of record."""
    products = shop.all_products
    yield (
        "products",
        pa.table(
            {
                "asin": [product.asin for product in products],
                "fine_category": [FINE_CATEGORIES[product.fine].name for product in products],
                "colour": [product.colour for product in products],
                "pattern": [product.pattern for product in products],
                "shape": [product.shape for product in products],
                "material": [product.material for product in products],
                "size": [product.size for product in products],
                "brand": [product.brand for product in products],
                "series": [product.series for product in products],
                "names_category": [product.names_category for product in products],
                "shows_look": [product.shows_look for product in products],
                "title": [product.title for product in products],
                "image_id": [product.image_id for product in products],
            }
        ),
    )
    yield (
        "reviews",
        pa.table(
            {
                "review_id": [written_review_id(shop, index) for index in range(len(shop.reviews))],
                "asin": [shop.products[review.product].asin for review in shop.reviews],
                "user_id": [shop.users[review.user].user_id for review in shop.reviews],
                "rating": pa.array([review.rating for review in shop.reviews], pa.int8()),
                "neutral": [review.neutral for review in shop.reviews],
                "image_id": pa.array([review.image_id for review in shop.reviews], pa.string()),
            }
        ),
    )
    yield (
        "users",
        pa.table(
            {
                "user_id": [user.user_id for user in shop.users],
                "top": [user.top for user in shop.users],
                "colour": pa.array([user.colour for user in shop.users], pa.string()),
                "pattern": pa.array([user.pattern for user in shop.users], pa.string()),
                "brand": pa.array([user.brand for user in shop.users], pa.string()),
                "bought": pa.array(
                    [[shop.products[number].asin for number in user.bought] for user in shop.users],
                    pa.list_(pa.string()),
                ),
            }
        ),
    )
    yield (
        "queries",
        pa.table(
            {
                "query_id": [query.query_id for query in shop.queries],
                "query": [query.text for query in shop.queries],
                "fine_category": [FINE_CATEGORIES[query.fine].name for query in shop.queries],
                "colour": pa.array([query.colour for query in shop.queries], pa.string()),
                "pattern": pa.array([query.pattern for query in shop.queries], pa.string()),
            }
        ),
    )
    yield (
        "questions",
        pa.table(
            {
                "qid": [question.qid for question in shop.questions],
                "asin": [shop.products[question.product].asin for question in shop.questions],
                "answerable": [question.answerable for question in shop.questions],
            }
        ),
    )


def image_list(shop: Shop) -> pa.Table:
    """Return the specifications of the shop's images: the products', then the reviews'; none for dead URLs."""
    specs: list[ImageSpec] = []
    if shop.images:
        originals = {duplicate.number: original for original, duplicate in shop.dirt_plan.near_duplicates}
        for product in shop.all_products:
            flaw = shop.dirt_plan.image_flaw(product)
            if flaw == "dead":
                continue
            # A near-duplicate has the original's image, compressed again.
            original = originals.get(product.number)
            specs.append(
                _spec(
                    shop.seed,
                    product,
                    product.image_id,
                    (original or product).image_id,
                    0,
                    "repacked" if original else flaw,
                )
            )
        for review in shop.reviews:
            if review.image_id is not None:
                product = shop.products[review.product]
                specs.append(_spec(shop.seed, product, review.image_id, review.image_id, review.rating, ""))
    return pa.table({name: [getattr(spec, name) for spec in specs] for name in SPECS.names}, schema=SPECS)


def _spec(seed: int, product: Product, image_id: str, varied_by: str, state: int, flaw: str) -> ImageSpec:
    return ImageSpec(
        image_id=image_id,
        fine_category=FINE_CATEGORIES[product.fine].name,
        colour=product.colour,
        pattern=product.pattern,
        shape=product.shape,
        state=state,
        variation=hash_draw(seed, "shop picture", varied_by) >> 1,
        flaw=flaw,
    )
