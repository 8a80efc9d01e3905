"""Settings of sampling: how many records of large raw files later stages process."""

from __future__ import annotations

from pydantic import Field

from mmecinstruct.core.settings import Settings


class SamplingSettings(Settings):
    """Sample the records that tasks are built from out of whole tables.

    Later stages then process a multiple of the recipe's sizes, whatever the size of the files.
    """

    oversample: float = Field(
        default=3.0,
        ge=1,
        le=1000,
        description="Records sampled per wanted sample. Some are lost later: unreadable images, texts in another "
        "language, near-duplicates in another split. Raise it when a task stays below its sizes.",
    )
