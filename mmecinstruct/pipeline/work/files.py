"""Names of files that several stages' work reads, and how a shard's rejections are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import REJECTIONS_FILE
from mmecinstruct.schemas.rejections import Rejection, rejections_table

Paths = tuple[Path, ...]
MERGED = pa.schema([("merged", pa.string()), ("kept", pa.string())])  # product ids


@dataclass(frozen=True)
class CuratedTables:
    """Files of the curated tables."""

    products: Paths
    reviews: Paths
    relations: Paths
    judgements: Paths
    questions: Paths


def write_rejections(rejections: Sequence[Rejection], folder: Path) -> None:
    """Write a shard's rejections, if there are any."""
    if rejections:
        write_table(rejections_table(rejections), folder / REJECTIONS_FILE)
