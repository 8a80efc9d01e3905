"""The products that stay in one split: near-duplicate clusters joined by what must never be in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmecinstruct.duplicates import same_product
from mmecinstruct.duplicates.clusters import Edge, connected_components
from mmecinstruct.text.words import normalised_text

# Pairs of these kinds are in one split whatever the size of a cluster.
EXACT_KINDS = frozenset(
    {
        same_product.SAME_ITEM,
        same_product.EXACT_TITLE,
        same_product.IDENTICAL_BYTES,
        same_product.IDENTICAL_PIXELS,
    }
)

Rows = Sequence[Mapping[str, Any]]


def inseparable_products(products: Rows, image_of: Mapping[str, str]) -> list[Edge]:
    """Return edges between products of the same title and the same image.

    Args:
        products: Rows with product_id, title and image_urls.
        image_of: The image of each URL: the same name for the same pixels.
    """
    first: dict[tuple[str, str], str] = {}
    edges = []
    for row in products:
        title = normalised_text(row["title"] or "")
        for image in {image_of[url] for url in row["image_urls"] or () if url in image_of}:
            one = first.setdefault((title, image), row["product_id"])
            if title and one != row["product_id"]:
                edges.append((one, row["product_id"]))
    return edges


def group_edges(products: Rows) -> list[Edge]:
    """Return edges between the products of each group, and to the product that gives the group its name.

    Args:
        products: Rows with product_id and group_id.
    """
    first: dict[str, str] = {row["product_id"]: row["product_id"] for row in products}
    edges = []
    for row in products:
        if row["group_id"] is not None:
            one = first.setdefault(row["group_id"], row["product_id"])
            if one != row["product_id"]:
                edges.append((one, row["product_id"]))
    return edges


def split_units(
    products: Rows, cluster_of: Mapping[str, str], pairs: Rows, ties: Iterable[Edge]
) -> dict[str, str]:
    """Return the split unit of each product.

    A unit is named by the smallest of its groups, so that a part of its products gives the same name; without a group
    by its smallest product.

    Args:
        products: Rows with product_id and group_id.
        cluster_of: The cluster of each product.
        pairs: Rows of PRODUCT_PAIRS; those of EXACT_KINDS join clusters.
        ties: Pairs of one group, or of variants.
    """
    exact = ((row["product_a"], row["product_b"]) for row in pairs if row["kind"] in EXACT_KINDS)
    units = connected_components(cluster_of, [*cluster_of.items(), *exact, *ties])
    named: dict[str, str] = {}
    for row in products:
        if row["group_id"] is not None:
            unit = units[row["product_id"]]
            named[unit] = min(named.get(unit, row["group_id"]), row["group_id"])
    return {product: named.get(unit, unit) for product, unit in units.items()}
