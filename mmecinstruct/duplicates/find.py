"""Find duplicate products, cluster them for the splits and merge them if the recipe wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.duplicates.clusters import bounded_clusters, connected_components, members, size_histogram
from mmecinstruct.duplicates.pairs import PRODUCT_PAIRS, find_pairs, strength
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.duplicates.units import group_edges, inseparable_products, split_units
from mmecinstruct.duplicates.variants import variant_edges
from mmecinstruct.images.urls import full_size_url
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_PRODUCTS

STAGE = "deduplicate"
REVIEW_COLUMNS = ("product_id", "image_urls")

# same_product_id: the representative of the product; the record's own id where it is the representative.
DISTINCT_PRODUCTS = CURATED_PRODUCTS.append(pa.field("same_product_id", pa.string()))

# The columns that are compared. Descriptions, most of a catalogue's bytes, are not loaded.
COMPARED = ("product_id", "title", "brand", "category", "color", "image_urls", "group_id")

# A record is the more complete, the more of these columns have a value.
_COMPLETENESS_COLUMNS = (
    "title",
    "brand",
    "category_path",
    "description",
    "features",
    "price",
    "color",
    "fine_category",
)


@dataclass(frozen=True)
class Duplicates:
    """The result of `find_duplicates`.

    Attributes:
        products: DISTINCT_PRODUCTS in order of id.
        pairs: PRODUCT_PAIRS.
        rejections: One for each merged product.
        merged: The kept id of each rejected id.
        statistics: Counts of pairs, clusters and merged products.
    """

    products: pa.Table
    pairs: pa.Table
    rejections: list[Rejection]
    merged: dict[str, str]
    statistics: dict[str, Any]


def find_duplicates(
    products: pa.Table,
    images: pa.Table,
    settings: DuplicateSettings,
    reviews: pa.Table | None = None,
    sketches: Sequence[Path] = (),
) -> Duplicates:
    """Cluster products that share an item number, a title or an image, and merge records of the same product.

    The given cluster_id is replaced by the smallest kept product_id of the new cluster, split_unit by the name of the
    clusters that share a group, are variants of one article, or were cut though they share a title or an image.

    Records of the same product have one representative: the most complete one (most columns with a value, then most
    readable images), then the one of the smallest id. With `settings.merge` the others are rejected as
    `duplicate_product`.

    Args:
        products: CURATED_PRODUCTS, each id once.
        images: IMAGES, placeholders already rejected.
        settings: Thresholds, and whether to merge.
        reviews: Columns product_id and image_urls. An image in the reviews of two products links them, since it must
            not be in two splits.
        sketches: Files of PIXELS, read where the settings ask for a second look.

    Returns:
        The clustered products, the pairs with their evidence, and the rejections.
    """
    rows = products.select(COMPARED).to_pylist()
    ids = [row["product_id"] for row in rows]
    images = _with_ids(images)
    pairs, counts = find_pairs(rows, images, settings, _review_urls(reviews), sketches)
    edges = [(row["product_a"], row["product_b"], strength(row)) for row in pairs]
    clusters = bounded_clusters(
        ids, edges, settings.max_cluster_size, inseparable_products(rows, _pixels(images))
    )
    same = connected_components(
        ids,
        (
            (row["product_a"], row["product_b"])
            for row in pairs
            if row["same_product"]
            and clusters.cluster_of[row["product_a"]] == clusters.cluster_of[row["product_b"]]
        ),
    )
    representative = _representatives(rows, _completeness(products), same, images)
    duplicates = {one: kept for one, kept in representative.items() if one != kept}
    merged = duplicates if settings.merge else {}
    variants = variant_edges(rows) if settings.recognise_variants else []
    units = split_units(rows, clusters.cluster_of, pairs, [*group_edges(rows), *variants])
    kept_name: dict[str, str] = {}
    for one in sorted(ids):
        if one not in merged:
            kept_name.setdefault(clusters.cluster_of[one], one)
    kept = [one for one in ids if one not in merged]
    columns: dict[str, list[Any]] = {
        "cluster_id": [kept_name[clusters.cluster_of[one]] for one in kept],
        "split_unit": [units[one] for one in kept],
        "same_product_id": [representative[one] for one in kept],
    }
    distinct = products.drop_columns(["cluster_id", "split_unit"]).filter(
        pa.array([one not in merged for one in ids], pa.bool_())
    )
    for name, values in columns.items():
        distinct = distinct.append_column(name, pa.array(values, pa.string()))
    distinct = _in_order(distinct.select(DISTINCT_PRODUCTS.names))
    if merged:
        name = "other_category_paths"
        place = distinct.schema.get_field_index(name)
        paths = pa.array(_other_paths(products, merged), distinct.schema.field(name).type)
        distinct = distinct.set_column(place, distinct.schema.field(name), paths)
    statistics = {
        "pairs": counts,
        "products": len(rows),
        "clusters": len(set(clusters.cluster_of.values())),
        "cluster_sizes": clusters.sizes(),
        "split_components": clusters.split,
        "dropped_pairs": clusters.dropped,
        "groups": len({row["group_id"] for row in rows} - {None}),
        "variants": len(variants),
        "split_units": len(set(units.values())),
        "largest_split_unit": max(Counter(units.values()).values(), default=0),
        "same_product_sizes": size_histogram(same),
        "duplicate_products": len(duplicates),
        "merged": len(merged),
    }
    return Duplicates(
        distinct,
        pa.Table.from_pylist(pairs, schema=PRODUCT_PAIRS),
        _rejections(merged, pairs),
        merged,
        statistics,
    )


def _with_ids(images: pa.Table) -> pa.Table:
    """Give images that were not read their URL as id: the same URL is the same image."""
    if not pc.any(pc.and_(pc.equal(images["status"], "ok"), pc.is_null(images["image_id"]))).as_py():
        return images
    ids, urls = images["image_id"].to_pylist(), images["image_url"].to_pylist()
    named = [[image_id or full_size_url(url) for image_id, url in zip(ids, urls, strict=True)]]
    return images.set_column(
        images.schema.get_field_index("image_id"), images.schema.field("image_id"), named
    )


def _pixels(images: pa.Table) -> dict[str, str]:
    """Return the name of each readable image's pixels, by URL."""
    names = pc.coalesce(images["pixel_id"], images["image_id"]).to_pylist()
    columns = (images["image_url"].to_pylist(), images["status"].to_pylist(), names)
    return {url: name for url, status, name in zip(*columns, strict=True) if status == "ok"}


def _review_urls(reviews: pa.Table | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if reviews is not None:
        for product, urls in zip(*(reviews[name].to_pylist() for name in REVIEW_COLUMNS), strict=True):
            if urls:
                found.setdefault(product, []).extend(urls)
    return found


def _in_order(products: pa.Table) -> pa.Table:
    """Return the products in the order of their ids.

    Curation writes them in this order, and a sorted table is returned unchanged: `take` fails on a column whose pieces
    do not fit together into 2 GB of text.
    """
    order = pc.sort_indices(products["product_id"])
    in_order = bool((np.diff(order.to_numpy().astype(np.int64)) == 1).all())
    return products if in_order else products.take(order)


def _completeness(products: pa.Table) -> dict[str, int]:
    """Return the number of columns with a value of each product's record."""
    counts = np.zeros(products.num_rows, np.int8)
    for name in _COMPLETENESS_COLUMNS:
        column = products[name]
        has_value = column.is_valid()
        if pa.types.is_list(column.type):
            has_value = pc.and_kleene(has_value, pc.greater(pc.list_value_length(column), 0))
        elif pa.types.is_string(column.type):
            has_value = pc.and_kleene(has_value, pc.not_equal(column, ""))
        counts += has_value.to_numpy()
    return dict(zip(products["product_id"].to_pylist(), counts.tolist(), strict=True))


def _representatives(
    rows: Sequence[Mapping[str, Any]],
    completeness: Mapping[str, int],
    same: Mapping[str, str],
    images: pa.Table,
) -> dict[str, str]:
    """Return each product's representative. completeness: that of each record (`_completeness`)."""
    statuses = zip(images["image_url"].to_pylist(), images["status"].to_pylist(), strict=True)
    readable = {url for url, status in statuses if status == "ok"}

    def order(row: Mapping[str, Any]) -> tuple[int, int, str]:
        shown = len({*(row["image_urls"] or ())} & readable)
        return -completeness[row["product_id"]], -shown, row["product_id"]

    by_id = {row["product_id"]: row for row in rows}
    found = {}
    for group in members(same).values():
        best = min((by_id[one] for one in group), key=order)["product_id"]
        found.update(dict.fromkeys(group, best))
    return found


def _other_paths(products: pa.Table, merged: Mapping[str, str]) -> list[list[list[str]] | None]:
    """Return the further category paths of each kept product, in order of id: its own and those of its merged records.

    The product lies in all of them: none is a wrong answer, and an out-of-domain one keeps it out of training.
    """
    names = ("product_id", "category", "category_path", "other_category_paths")
    rows = _in_order(products.select(names))
    added: dict[str, list[list[str]]] = {}
    kept = []
    for one, category, path, others in zip(*(rows[name].to_pylist() for name in names), strict=True):
        first = path or ([category] if category else [])
        if one in merged:
            added.setdefault(merged[one], []).extend([first, *(others or ())] if first else others or ())
        else:
            kept.append((one, first, others))
    found: list[list[list[str]] | None] = []
    for one, first, others in kept:
        known = [first, *(others or ())]
        new = [path for path in added.get(one, ()) if path not in known]
        # Each once, in the order of ids.
        found.append(
            [*(others or ()), *(list(path) for path in dict.fromkeys(map(tuple, new)))] if new else others
        )
    return found


def _rejections(merged: Mapping[str, str], pairs: Sequence[Mapping[str, Any]]) -> list[Rejection]:
    kinds: dict[str, set[str]] = {}
    for row in pairs:
        if row["same_product"]:
            for one in (row["product_a"], row["product_b"]):
                kinds.setdefault(one, set()).add(row["kind"])
    return [
        Rejection(
            STAGE,
            "duplicate_product",
            f"the same product as {kept}: {', '.join(sorted(kinds[one]))}",
            "",
            one,
            product_ids=(one, kept),
        )
        for one, kept in sorted(merged.items())
    ]
