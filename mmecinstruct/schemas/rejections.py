"""Rejected rows, with one schema for all stages. Every dropped row is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from mmecinstruct.schemas.tables import REJECTIONS

DETAIL_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one record is not in the result.

    Attributes:
        stage: Name of the stage.
        reason: Machine-readable, snake_case.
        detail: For a person.
        origin: `file:line` or URL.
        record_id: Id of the record where it is known, else empty.
    """

    stage: str
    reason: str
    detail: str
    origin: str
    record_id: str = ""


def rejections_table(rejections: Iterable[Rejection]) -> pa.Table:
    """Return rejections as a table (tables.REJECTIONS) in their order, details cut to DETAIL_LENGTH characters."""
    rows = []
    for rejection in rejections:
        row = asdict(rejection)
        if len(row["detail"]) > DETAIL_LENGTH:
            row["detail"] = row["detail"][: DETAIL_LENGTH - 1] + "…"
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=REJECTIONS)


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Return the number of rejections per reason, most frequent first."""
    counts = Counter(table.column("reason").to_pylist())
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
