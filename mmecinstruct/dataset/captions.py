"""Captions beside a dataset: find their files, and check them against the samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.shown import is_private_path
from mmecinstruct.dataset.problems import ProblemLog
from mmecinstruct.schemas.captions import CAPTIONS, CAPTIONS_FOLDER, PROVENANCE_KEY, parse_captions_path
from mmecinstruct.tasks import TASKS

# Of a sample: its task and split, and the SHA-256 of each of its images (empty where it is not embedded).
ImagesOfSample = tuple[str, str, tuple[str, ...]]
_BATCH_ROWS = 10_000


def find_captions(folder: Path) -> list[str]:
    """Return the paths of all captions below a dataset folder, sorted."""
    paths = (file.relative_to(folder).as_posix() for file in folder.glob(f"{CAPTIONS_FOLDER}/*/*.parquet"))
    return sorted(path for path in paths if is_captions_path(path))


def is_captions_path(path: str) -> bool:
    """Return whether a path below a dataset folder is one of captions."""
    parsed = parse_captions_path(path)
    return parsed is not None and parsed[1] in TASKS


def check_captions(folder: Path, samples: Mapping[str, ImagesOfSample], log: ProblemLog) -> None:
    """Check that each caption is of an image of a sample, once, and that no path of a machine is published.

    Args:
        folder: The dataset folder.
        samples: Images by sample id.
        log: Takes the problems.
    """
    for file in sorted(folder.glob(f"{CAPTIONS_FOLDER}/*/*.parquet")):
        path = file.relative_to(folder).as_posix()
        if not is_captions_path(path):
            log.add(path, "file_unexpected", f"not named {CAPTIONS_FOLDER}/<name>/<task>-<split>.parquet")
            continue
        try:
            with pq.ParquetFile(file) as parquet:
                if _check_columns(parquet.schema_arrow, path, log):
                    _check_rows(parquet, path, samples, log)
        except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
            log.add(path, "parquet_unreadable", str(error))


def _check_columns(found: pa.Schema, path: str, log: ProblemLog) -> bool:
    wrong = [
        f"{field.name} is not {field.type}, is missing or occurs twice"
        for field in CAPTIONS
        if found.names.count(field.name) != 1 or found.field(field.name).type != field.type
    ]
    if wrong:
        log.add(path, "schema_columns", "; ".join(wrong))
    if PROVENANCE_KEY not in (found.metadata or {}):
        log.add(path, "schema_metadata", "it does not say which model and templates made its captions")
    return not wrong


def _check_rows(
    parquet: pq.ParquetFile, path: str, samples: Mapping[str, ImagesOfSample], log: ProblemLog
) -> None:
    parsed = parse_captions_path(path)
    assert parsed is not None
    seen: set[tuple[str, int]] = set()
    number = 0
    for batch in parquet.iter_batches(_BATCH_ROWS, columns=CAPTIONS.names, use_threads=False):
        for row in batch.to_pylist():
            key = (str(row["sample_id"]), row["position"])
            for reason, detail in _row_problems(row, samples.get(key[0]), parsed[1:]):
                log.add(path, reason, detail, number, key[0][:100])
            if key in seen:
                log.add(
                    path, "caption_repeated", f"image {key[1]} has a caption already", number, key[0][:100]
                )
            seen.add(key)
            number += 1


def _row_problems(
    row: Mapping[str, Any], sample: ImagesOfSample | None, place: tuple[str, str]
) -> list[tuple[str, str]]:
    again = "run `caslie_model caption` again"
    required = ("sample_id", "position", "role", "image", "captioner", "fingerprint")
    if missing := [name for name in required if row[name] is None]:
        return [("value_missing", ", ".join(missing))]
    found = []
    if (row["caption"] is None) == (row["reason"] is None) or row["caption"] == "":
        found.append(("caption_or_reason", "a row has a caption, or the reason why it has none"))
    if is_private_path(row["captioner"]):
        found.append(("path_private", "captioner is a path of a machine"))
    if sample is None or sample[:2] != place:
        found.append(("sample_unknown", f"{'/'.join(place)} has no such sample; {again}"))
    elif not 0 <= row["position"] < len(sample[2]):
        found.append(("image_unknown", f"image {row['position']} of {len(sample[2])}; {again}"))
    elif sample[2][row["position"]] not in ("", row["image"]):
        found.append(("image_changed", f"image {row['position']} is another one now; {again}"))
    return found
