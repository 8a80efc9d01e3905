"""Records of predictions, by id of the sample and by variant: "" as published, "images none", "order 2" and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caslie_model.data.samples import Sample

PUBLISHED = ""

Record = Mapping[str, Any]
Records = Mapping[tuple[str, str], Record]


def is_not_finite(record: Record) -> bool:
    """Return whether a prediction was decided by no finite number, which earlier versions wrote without a mark."""
    return record.get("not_finite", False) or None in (record.get("scores") or {}).values()


def answer_of(records: Records, sample: Sample, variant: str = PUBLISHED) -> str | None:
    """Return the label that was answered, of the published sample.

    Args:
        records: Of predictions.
        sample: The sample.
        variant: How it was asked.

    Returns:
        The label; None for an answer that is missing, unparsable or decided by no finite number.
    """
    record = records.get((sample.id, variant))
    return None if record is None or is_not_finite(record) else record["prediction"]


def is_right(records: Records, sample: Sample, variant: str = PUBLISHED) -> bool:
    """Return whether the right answer was given to a variant of a sample."""
    return answer_of(records, sample, variant) == sample.output
