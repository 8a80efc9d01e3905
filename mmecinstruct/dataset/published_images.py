"""How a dataset folder publishes its images, as its own recipe says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmecinstruct.dataset.manifest import MAX_TEXT_BYTES, RECIPE


@dataclass(frozen=True, slots=True)
class PublishedImages:
    """embedded: pixels stand in the shards; else URLs alone. read: each image has the hash of its bytes for an id."""

    embedded: bool = True
    read: bool = True


def published_images(folder: Path) -> PublishedImages:
    """Return what the folder's recipe.yaml says; embedded and read where it says nothing or cannot be read.

    Only the fields `images.publish` and `images.read` are looked at, so a recipe of another version does.
    """
    file = folder / RECIPE
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            return PublishedImages()
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return PublishedImages()
    part = content.get("images") if isinstance(content, dict) else None
    if not isinstance(part, dict) or part.get("publish") != "reference":
        return PublishedImages()
    return PublishedImages(embedded=False, read=part.get("read") is not False)
