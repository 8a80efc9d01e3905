"""Settings of duplicates: thresholds of near images and titles, and of equal products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from mmecinstruct.core.settings import Levels, Settings, unit


class DuplicateSettings(Settings):
    """Which products count as near-duplicates and stay in one split, and which are merged."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"picture_radius": "image_radius"}

    title_similarity: float = Field(
        default=0.85,
        gt=0.5,
        le=1,
        description="Titles are near when the Jaccard similarity of their words is at least this.",
    )
    image_radius: Annotated[int, unit("bits")] = Field(
        default=6,
        ge=0,
        le=16,
        description="Images are near when their perceptual hashes differ in at most this many of 64 bits, and their "
        "colours by at most `max_colour_difference`.",
    )
    max_colour_difference: Levels = Field(
        default=28.0,
        ge=0,
        le=255,
        description="Largest colour difference of near images, in levels of 255, in any cell of their 8x8 thumbnails. "
        "Lower it to keep colour variants apart.",
    )
    min_structure: Levels = Field(
        default=5.0,
        ge=0,
        description="Images with less structure, in grey levels, are not compared: their hashes are noise.",
    )
    second_look: bool = Field(
        default=False,
        description="Also find images that are cropped, have a border or are covered by a logo, among products that "
        "share a rare title word, brand or category. Such products stay in one split.",
    )
    same_product_similarity: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Two records with the same or near images are one product when the similarity of their titles is "
        "at least this.",
    )
    max_cluster_size: Annotated[int, unit("products")] = Field(
        default=200,
        ge=2,
        description="Products per cluster at most. A larger cluster is rebuilt without its weakest pairs; products of "
        "one title and one image stay together.",
    )
    recognise_variants: bool = Field(
        default=True,
        description="Keep products in one split whose titles differ in colour, size or material alone, where the "
        "source names no group.",
    )
    merge: bool = Field(
        default=False,
        description="Keep only the most complete record of each product and redirect references to it.",
    )
