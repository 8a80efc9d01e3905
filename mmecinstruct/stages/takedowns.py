"""The takedown list in a build: objects to remove, and a warning of entries that cannot be honoured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.engine.stage import Files, StageOutput
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.stages.locate_images import image_groups
from mmecinstruct.web.images import FETCHED_FOLDER, Takedowns, candidate_urls, forget_images

_IMAGE_COLUMNS = (("products", "image_urls"), ("reviews", "image_urls"), ("product_images", "image_url"))


def forget_taken_down(
    workspace: Path, taken_down: frozenset[str], parsed: Sequence[StageOutput], tables: CuratedTables
) -> int:
    """Remove from the store the images that were fetched only for products on the takedown list.

    The list names products by id. Only a build knows which URLs are theirs, and which of them others share.

    Args:
        workspace: its folder.
        taken_down: ids of products.
        parsed: the outputs of `parse`, which still have these products.
        tables: the curated tables, which do not.

    Returns:
        The number of objects removed.
    """
    folder = workspace / FETCHED_FOLDER
    if not taken_down or not folder.is_dir():
        return 0
    theirs: list[str] = []
    listed = pc.field("product_id").isin(sorted(taken_down))
    for name, column in _IMAGE_COLUMNS:
        for path in Files.of(parsed, f"{name}.parquet").paths:
            for value in pq.read_table(path, columns=[column], filters=listed)[column].to_pylist():
                theirs.extend([value] if isinstance(value, str) else value or [])
    others = {url for urls in image_groups(tables) for url in urls}
    return forget_images(folder, set(candidate_urls(theirs)) - set(candidate_urls(others)))


def not_honoured(takedowns: Takedowns, images_read: bool) -> list[str]:
    """Return a warning of takedowns that a build without reading images cannot honour."""
    images = len(takedowns.images)
    if images_read or not images:
        return []
    return [
        f"the takedown list names {images} images by their bytes, which are not read (images.read: false); list their "
        "URLs too: mmec takedown add url URL"
    ]
