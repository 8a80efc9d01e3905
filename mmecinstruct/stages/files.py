"""Files that several stages share: the curated tables, merged ids, rejections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import REJECTIONS_FILE, Files
from mmecinstruct.schemas.rejections import Rejection, rejections_table

MERGED_FILE = "merged.parquet"
MERGED = pa.schema([("merged", pa.string()), ("kept", pa.string())])  # product ids


@dataclass(frozen=True)
class CuratedTables:
    """Files of the curated tables."""

    products: Files
    reviews: Files
    relations: Files
    judgements: Files
    questions: Files


def write_rejections(rejections: Sequence[Rejection], folder: Path) -> None:
    """Write a work item's rejections, if there are any."""
    if rejections:
        write_table(rejections_table(rejections), folder / REJECTIONS_FILE)
