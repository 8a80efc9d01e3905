"""The table of answers: a row for each row of the shop's table, in its order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.errors import ConfigError
from caslie_model.inference.rounds import Answer
from mmecinstruct.core.disk_errors import writing_to
from mmecinstruct.core.files import write_atomically

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A row of the shop's table with its answer.

    Attributes:
        line: Its line there, or its number in a Parquet file.
        id: The shop's id.
        answer: The answer; None where nothing was asked.
        images: How many images were shown.
        reason: Why there is no answer, or no image; else empty.
    """

    line: int
    id: str
    answer: Answer | None
    images: int
    reason: str


def check_format(path: Path) -> None:
    """Check that a table of answers can have this name.

    Raises:
        ConfigError: Its ending is no format's.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"out={path}: no format '{path.suffix}'; give a file that ends in {', '.join(SUFFIXES)}"
        )


def write_answers(path: Path, rows: Sequence[AnsweredRow]) -> None:
    """Write a table of answers, whole or not at all.

    Args:
        path: Its ending decides about the format.
        rows: Its rows.

    Raises:
        OutputError: It cannot be written.
    """
    records = [_record(row) for row in rows]
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        content = _parquet(records)
    elif suffix == ".jsonl":
        content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    else:
        content = _csv(records, "\t" if suffix == ".tsv" else ",")
    with writing_to(path):
        write_atomically(path, content)


def _record(row: AnsweredRow) -> dict[str, Any]:
    answer = row.answer
    label, scores = (None, None) if answer is None else (answer.label, answer.scores)
    words = None if answer is None else answer.answer
    return {
        "line": row.line,
        "id": row.id,
        "answer": words,
        "label": label,
        "probability": None if answer is None else answer.probability,
        "score": scores.get(words) if scores and words is not None else None,
        "options": [] if answer is None else list(answer.options.values()),
        "images": row.images,
        "reason": row.reason or None,
    }


def _csv(records: Sequence[dict[str, Any]], separator: str) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for record in records:
        share = record["probability"]
        cells = {
            **record,
            "probability": None if share is None else f"{share:.4f}",
            "options": _SEPARATOR.join(record["options"]),
        }
        writer.writerow(["" if cells[name] is None else cells[name] for name in _COLUMNS])
    return stream.getvalue().encode()


def _parquet(records: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys(("line", "images"), pa.int64()),
        **dict.fromkeys(("probability", "score"), pa.float64()),
        "options": pa.list_(pa.string()),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in _COLUMNS])
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), stream)
    return stream.getvalue()


_COLUMNS = ("line", "id", "answer", "label", "probability", "score", "options", "images", "reason")
