"""Read from a dataset folder's recipe how its images are published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import YamlError
from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.dataset.manifest import MAX_TEXT_BYTES, RECIPE


@dataclass(frozen=True, slots=True)
class PublishedImages:
    """How images are published.

    Attributes:
        embedded: Pixels are in the shards; else only URLs.
        read: Images were read, so each has the hash of its bytes as id.
    """

    embedded: bool = True
    read: bool = True


def published_images(folder: Path) -> PublishedImages:
    """Return how the folder's recipe.yaml publishes images; embedded and read where it is missing or not readable.

    Only the fields `images.publish` and `images.read` are read, so recipes of other versions work.
    """
    file = folder / RECIPE
    try:
        content: Any = read_yaml(file, MAX_TEXT_BYTES)
    except YamlError:
        return PublishedImages()
    part = content.get("images") if isinstance(content, dict) else None
    if not isinstance(part, dict) or part.get("publish") != "reference":
        return PublishedImages()
    return PublishedImages(embedded=False, read=part.get("read") is not False)
