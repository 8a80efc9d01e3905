"""Settings of duplicates: what counts as the same image, the same title, the same product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from mmecinstruct.core.settings import Settings


class DuplicateSettings(Settings):
    """Thresholds of near-duplicates, and what is done with them."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"picture_radius": "image_radius"}

    title_similarity: float = Field(default=0.85, gt=0.5, le=1)  # Jaccard of title words
    # Images are near where their hashes differ in at most so many of 64 bits and no part of them in colour.
    image_radius: int = Field(default=6, ge=0, le=16)
    max_colour_difference: float = Field(default=28.0, ge=0, le=255)  # in the most different of 64 cells
    min_structure: float = Field(default=5.0, ge=0)  # grey levels; below, a hash is noise
    # Titles so similar, under images that are the same or near, name one product.
    same_product_similarity: float = Field(default=0.6, gt=0, le=1)
    max_cluster_size: int = Field(default=200, ge=2)  # above: the weakest pairs are let go
    merge: bool = False  # keep one product of those that are the same
