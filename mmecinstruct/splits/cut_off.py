"""Find the products that are near a product of an earlier split: a cluster was cut between them.

Pairs of near-duplicates are edges: of several products with one title or one image only the first is paired with those
of a near title or image. So the products of a title and of an image are gathered first, and compared with those of each
title or image that is near.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from mmecinstruct.duplicates import same_product
from mmecinstruct.duplicates.clusters import connected_components
from mmecinstruct.schemas.samples import SPLITS

# Columns of PRODUCT_PAIRS.
COLUMNS = ("product_a", "product_b", "kind", "similarity", "image_a", "image_b")

_TITLES = (same_product.EXACT_TITLE, same_product.NEAR_TITLE)
# Of the other kinds only the pair itself is near: edited images link products that have something else in common.
_IMAGES = (same_product.IDENTICAL_BYTES, same_product.IDENTICAL_PIXELS, same_product.NEAR_IMAGE)


def products_cut_off(splits: Mapping[str, str], pairs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the products near one of an earlier split.

    Args:
        splits: The split of each product. Others, such as merged records, are no products.
        pairs: Rows of PRODUCT_PAIRS with COLUMNS.
    """
    rank = {split: number for number, split in enumerate(SPLITS)}
    rows = [*pairs]
    same_words = [(row["product_a"], row["product_b"]) for row in rows if _has_same_words(row)]
    title = connected_components((one for pair in same_words for one in pair), same_words)
    members: dict[Hashable, set[str]] = defaultdict(set)
    near: set[tuple[Hashable, Hashable]] = set()
    for row in rows:
        ends = []
        for side in "ab":
            product = row[f"product_{side}"]
            end: Hashable = product
            if row["kind"] in _TITLES:
                end = "title", title.get(product, product)
            elif row["kind"] in _IMAGES:
                end = "image", row[f"image_{side}"]
            ends.append(end)
            if product in splits:
                members[end].add(product)
        near.add((ends[0], ends[1]))
    earliest = {end: min(rank[splits[one]] for one in products) for end, products in members.items()}
    found: set[str] = set()
    for one, other in near:
        for end, theirs in ((one, other), (other, one)):
            limit = min(earliest.get(theirs, len(rank)), earliest.get(end, len(rank)))
            found.update(product for product in members.get(end, ()) if rank[splits[product]] > limit)
    return found


def _has_same_words(row: Mapping[str, Any]) -> bool:
    similarity = row["similarity"]
    return row["kind"] == same_product.EXACT_TITLE or (
        row["kind"] == same_product.NEAR_TITLE and similarity is not None and similarity >= 1
    )
