"""Settings of sampling: how much of large raw files later stages look at."""

from __future__ import annotations

from pydantic import Field

from mmecinstruct.core.settings import Settings


class SamplingSettings(Settings):
    """Draw from whole tables the records that samples are made from, and leave the others alone.

    Later stages then work on a multiple of the recipe's sizes, whatever the size of the files.
    """

    # Records drawn for each sample wanted. Some are lost on the way: unreadable images, texts in another language,
    # products whose near-duplicate belongs to another split.
    oversample: float = Field(default=3.0, ge=1, le=1000)
