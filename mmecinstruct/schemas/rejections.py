"""Rejected rows: one shape for all stages. Nothing is dropped in silence."""

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

    stage: name of the stage. reason: machine-readable snake_case. detail: for a person. origin: `file:line`
    or URL. record_id: id of the record where it is known, else empty.
    """

    stage: str
    reason: str
    detail: str
    origin: str
    record_id: str = ""


def rejections_table(rejections: Iterable[Rejection]) -> pa.Table:
    """Return rejections as Arrow data in the order given, details shortened."""
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
