"""Pairs of products that share an item number, a title or an image, each with its evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.duplicates import same_product
from mmecinstruct.duplicates.clusters import IDENTIFIER_FAMILIES, same_item_edges
from mmecinstruct.duplicates.images import IDENTICAL_PIXELS, MIRRORED, image_pairs
from mmecinstruct.duplicates.second_look import attributes, blocks_of, edited_images, read_sketches
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.duplicates.titles import near_texts, word_similarity
from mmecinstruct.text.words import normalised_text

PRODUCT_PAIRS = pa.schema(
    [
        ("product_a", pa.string()),
        ("product_b", pa.string()),  # product_a < product_b
        # same_item | exact_title | near_title | identical_bytes | identical_pixels | near_image | mirrored_image |
        # edited_image
        ("kind", pa.string()),
        ("similarity", pa.float32()),  # of the titles' words
        ("image_a", pa.string()),
        ("image_b", pa.string()),
        ("distance", pa.int16()),  # of the images' hashes, in bits
        ("colour_difference", pa.float32()),
        ("same_product", pa.bool_()),
    ]
)

# Products of two near images: up to so many pairs all are paired with all, else the first of each with all others.
ALL_WITH_ALL = 64

Product = Mapping[str, Any]


@dataclass(slots=True)
class Evidence:
    """Images of products, and which images are the same or near.

    Attributes:
        images_of: A product's own images, which identify it.
        products_of: The products of an image, also those with the image in a review, as it must not cross splits.
        pairs: Rows of IMAGE_PAIRS by (image_a, image_b).
        looks: Rows of mirrored and edited images by (image_a, image_b). They link products that have an attribute in
            common, and are no evidence that two are the same.
        counts: Counts of `image_pairs`.
    """

    images_of: dict[str, list[str]]
    products_of: dict[str, list[str]]
    pairs: dict[tuple[str, str], dict[str, Any]]
    looks: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def agree(self, a: str, b: str) -> bool:
        """Return whether the products have an image in common, or two near images."""
        theirs = self.images_of.get(b, ())
        return any(
            one == other or (min(one, other), max(one, other)) in self.pairs
            for one in self.images_of.get(a, ())
            for other in theirs
        )


def find_pairs(
    products: Sequence[Product],
    images: pa.Table,
    settings: DuplicateSettings,
    review_urls: Mapping[str, Sequence[str]] | None = None,
    sketches: Sequence[Path] = (),
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Find pairs of products that share an item number, a title or an image.

    Pairs are edges: of many products with one title or one image each is paired with the first.

    Args:
        products: Rows with product_id, title, brand, category, color, image_urls.
        images: IMAGES.
        settings: Thresholds of titles and images.
        review_urls: The image URLs of each product's reviews. They link products, but are no evidence that two are the
            same product.
        sketches: Files of PIXELS, read where the settings ask for a second look.

    Returns:
        Rows of PRODUCT_PAIRS in order of ids and kind, and counts per kind and of omitted records.
    """
    by_id = {row["product_id"]: row for row in products}
    evidence = _evidence(products, images, settings, review_urls or {}, sketches)
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (
        *_same_items(by_id),
        *_similar_titles(products, settings),
        *_shared_images(evidence),
        *_second_look(evidence, by_id),
    ):
        a, b = sorted((row["product_a"], row["product_b"]))
        key = a, b, row["kind"]
        row = {**dict.fromkeys(PRODUCT_PAIRS.names), **row, "product_a": a, "product_b": b}
        if key not in found or strength(row) > strength(found[key]):
            found[key] = row
    rows = [found[key] for key in sorted(found)]
    for row in rows:
        _set_same_product(row, by_id, evidence, settings)
    kinds = dict.fromkeys(same_product.RANK, 0)
    for row in rows:
        kinds[row["kind"]] += 1
    untitled = sum(not normalised_text(row["title"] or "") for row in products)
    left_out = {
        f"images_{name}": evidence.counts[name]
        for name in ("unhashed", "too_little_structure", "blocks_too_large")
    }
    return rows, {**kinds, **left_out, "products_without_title": untitled}


def strength(row: Mapping[str, Any]) -> float:
    """Return the strength of a pair: the rank of its kind, then the similarity of titles or images."""
    fraction = 0.0
    if row["similarity"] is not None:
        fraction = row["similarity"]
    elif row["distance"] is not None:
        fraction = 1 - (row["distance"] + row["colour_difference"] / 256) / 65
    return same_product.RANK[row["kind"]] + fraction / 2


def _set_same_product(
    row: dict[str, Any], by_id: Mapping[str, Product], evidence: Evidence, settings: DuplicateSettings
) -> None:
    """Set `similarity` and `same_product` of a row of PRODUCT_PAIRS."""
    a, b = row["product_a"], row["product_b"]
    if row["kind"] == same_product.SAME_ITEM:
        row["same_product"] = True
        return
    similarity = word_similarity(by_id[a]["title"] or "", by_id[b]["title"] or "")
    row["similarity"] = similarity
    row["same_product"] = same_product.is_same_product(
        by_id[a],
        by_id[b],
        similarity,
        images_agree=evidence.agree(a, b),
        both_have_images=a in evidence.images_of and b in evidence.images_of,
        min_similarity=settings.same_product_similarity,
    )


def _same_items(by_id: Mapping[str, Product]) -> Iterator[dict[str, Any]]:
    for a, b in same_item_edges(by_id, IDENTIFIER_FAMILIES):
        yield {"product_a": a, "product_b": b, "kind": same_product.SAME_ITEM}


def _similar_titles(products: Sequence[Product], settings: DuplicateSettings) -> Iterator[dict[str, Any]]:
    rows = sorted(products, key=lambda row: row["product_id"])
    titles = [row["title"] or "" for row in rows]
    pairs, similarities = near_texts(titles, settings.title_similarity)
    for (i, j), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
        exact = normalised_text(titles[i]) == normalised_text(titles[j])
        yield {
            "product_a": rows[i]["product_id"],
            "product_b": rows[j]["product_id"],
            "kind": same_product.EXACT_TITLE if exact else same_product.NEAR_TITLE,
            "similarity": similarity,
        }


def _evidence(
    products: Sequence[Product],
    images: pa.Table,
    settings: DuplicateSettings,
    review_urls: Mapping[str, Sequence[str]],
    sketches: Sequence[Path],
) -> Evidence:
    images = images.filter(pc.equal(images["status"], "ok"))
    names = zip(images["image_url"].to_pylist(), images["image_id"].to_pylist(), strict=True)
    # Images that were not read have their URL as id: one string serves as both, for a million images.
    image_of = {url: url if url == image_id else image_id for url, image_id in names}
    images_of: dict[str, list[str]] = {}
    products_of: dict[str, list[str]] = defaultdict(list)
    for row in sorted(products, key=lambda row: row["product_id"]):
        product = row["product_id"]
        own = list(dict.fromkeys(image_of[url] for url in row["image_urls"] or () if url in image_of))
        if own:
            images_of[product] = own
        reviewed = (image_of[url] for url in review_urls.get(product, ()) if url in image_of)
        for image in dict.fromkeys([*own, *reviewed]):
            products_of[image].append(product)
    used = (image_of[url] in products_of for url in images["image_url"].to_pylist())
    pairs, counts, compared = image_pairs(images.filter(pa.array(used, pa.bool_())), settings)
    found: dict[bool, dict[tuple[str, str], dict[str, Any]]] = {True: {}, False: {}}
    for row in pairs.to_pylist():
        found[row["kind"] == MIRRORED][row["image_a"], row["image_b"]] = row
    near, looks = found[False], found[True]
    counts["blocks_too_large"] = 0
    if settings.second_look:
        ids = compared["image_id"].to_pylist()
        edited, counts["blocks_too_large"] = _edited(products, ids, products_of, settings, sketches)
        looks |= {key: row for key, row in edited.items() if key not in near and key not in looks}
    return Evidence(images_of, dict(products_of), near, looks, counts)


def _edited(
    products: Sequence[Product],
    image_ids: Sequence[str],
    products_of: Mapping[str, Sequence[str]],
    settings: DuplicateSettings,
    sketches: Sequence[Path],
) -> tuple[dict[tuple[str, str], dict[str, Any]], int]:
    """Return the edited images by (image_a, image_b), and the number of blocks that are too large."""
    compared = read_sketches(sketches, image_ids)
    numbers = {row["product_id"]: number for number, row in enumerate(products)}
    positions: dict[str, list[int]] = defaultdict(list)
    owners = np.full(len(compared.image_ids), -1, np.int64)
    for position, image in enumerate(compared.image_ids):
        for product in products_of[image]:
            positions[product].append(position)
        if len(products_of[image]) == 1:
            owners[position] = numbers[products_of[image][0]]
    blocks, too_large = blocks_of(products, positions)
    rows = edited_images(compared, blocks, owners, settings.max_colour_difference)
    return {(row["image_a"], row["image_b"]): row for row in rows}, too_large


def _shared_images(evidence: Evidence) -> Iterator[dict[str, Any]]:
    for image, owners in sorted(evidence.products_of.items()):
        for other in owners[1:]:
            yield {
                "product_a": owners[0],
                "product_b": other,
                "kind": same_product.IDENTICAL_BYTES,
                "image_a": image,
                "image_b": image,
                "distance": 0,
                "colour_difference": 0.0,
            }
    for pair in (evidence.pairs[key] for key in sorted(evidence.pairs)):
        identical = pair["kind"] == IDENTICAL_PIXELS
        kind = same_product.IDENTICAL_PIXELS if identical else same_product.NEAR_IMAGE
        yield from _linked(pair, kind, evidence)


def _second_look(evidence: Evidence, by_id: Mapping[str, Product]) -> Iterator[dict[str, Any]]:
    """Yield products of mirrored and edited images that share a title word, the brand or the category."""
    known: dict[str, set[tuple[str, str]]] = {}
    for pair in (evidence.looks[key] for key in sorted(evidence.looks)):
        mirrored = pair["kind"] == MIRRORED
        kind = same_product.MIRRORED_IMAGE if mirrored else same_product.EDITED_IMAGE
        for row in _linked(pair, kind, evidence):
            both = row["product_a"], row["product_b"]
            known |= {one: attributes(by_id[one]) for one in both if one not in known}
            if not known[both[0]].isdisjoint(known[both[1]]):
                yield row


def _linked(pair: Mapping[str, Any], kind: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield a row of PRODUCT_PAIRS for the products of two images."""
    image_a, image_b = pair["image_a"], pair["image_b"]
    for a, b in _across(evidence.products_of[image_a], evidence.products_of[image_b]):
        if a == b:
            continue
        images = (image_a, image_b) if a < b else (image_b, image_a)
        yield {
            "product_a": a,
            "product_b": b,
            "kind": kind,
            "image_a": images[0],
            "image_b": images[1],
            "distance": pair.get("distance"),
            "colour_difference": pair.get("colour_difference"),
        }


def _across(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(left) * len(right) <= ALL_WITH_ALL:
        yield from ((a, b) for a in left for b in right)
        return
    yield from ((left[0], b) for b in right)
    yield from ((a, right[0]) for a in left[1:])
