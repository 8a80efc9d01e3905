"""Captions beside a dataset, and judges' decisions about them: find their files, and check them against the samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.shown import is_private_path
from mmecinstruct.dataset.problems import ProblemLog
from mmecinstruct.schemas.captions import (
    CAPTIONS,
    CAPTIONS_FOLDER,
    JUDGED_KEY,
    KEPT,
    KEPT_FOLDER,
    PROVENANCE_KEY,
    caption_fingerprint,
    captions_path,
    parse_captions_path,
    parse_kept_path,
)
from mmecinstruct.tasks import TASKS

# Of a sample: its task and split, and the SHA-256 of each of its images (empty where it is not embedded).
ImagesOfSample = tuple[str, str, tuple[str, ...]]
_BATCH_ROWS = 10_000


def find_captions(folder: Path) -> list[str]:
    """Return the paths of all captions below a dataset folder, and of decisions about them, sorted."""
    return sorted(path for path in _files(folder) if is_captions_path(path))


def is_captions_path(path: str) -> bool:
    """Return whether a path below a dataset folder is one of captions, or of decisions about them."""
    parsed = parse_captions_path(path)
    kept = parse_kept_path(path)
    return (parsed is not None and parsed[1] in TASKS) or (kept is not None and kept[2] in TASKS)


def check_captions(folder: Path, samples: Mapping[str, ImagesOfSample], log: ProblemLog) -> None:
    """Check captions and decisions, and that they publish no path of a machine.

    Each caption is of an image of a sample, once; each decision is about a caption that is there, once, and of captions
    of which some are judged all are.

    Args:
        folder: The dataset folder.
        samples: Images by sample id.
        log: Takes the problems.
    """
    for path in sorted(_files(folder)):
        if not is_captions_path(path):
            log.add(
                path,
                "file_unexpected",
                f"named neither {CAPTIONS_FOLDER}/<name>/<task>-<split>.parquet nor "
                f"{CAPTIONS_FOLDER}/<name>/{KEPT_FOLDER}/<judge>/<task>-<split>.parquet",
            )
            continue
        judged = parse_kept_path(path)
        schema, key = (CAPTIONS, PROVENANCE_KEY) if judged is None else (KEPT, JUDGED_KEY)
        try:
            with pq.ParquetFile(folder / path) as parquet:
                if not _check_columns(parquet.schema_arrow, schema, key, path, log):
                    continue
                if judged is None:
                    _check_rows(parquet, path, samples, log)
                else:
                    captions = folder / captions_path(judged[0], *judged[2:])
                    _check_decisions(parquet, path, captions, log)
        except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
            log.add(path, "parquet_unreadable", str(error))


def _files(folder: Path) -> Iterator[str]:
    for pattern in ("*/*.parquet", f"*/{KEPT_FOLDER}/*/*.parquet"):
        for file in (folder / CAPTIONS_FOLDER).glob(pattern):
            yield file.relative_to(folder).as_posix()


def _check_columns(found: pa.Schema, wanted: pa.Schema, key: bytes, path: str, log: ProblemLog) -> bool:
    wrong = [
        f"{field.name} is not {field.type}, is missing or occurs twice"
        for field in wanted
        if found.names.count(field.name) != 1 or found.field(field.name).type != field.type
    ]
    if wrong:
        log.add(path, "schema_columns", "; ".join(wrong))
    try:
        told = json.loads((found.metadata or {})[key])
    except (KeyError, ValueError, RecursionError):
        log.add(path, "schema_metadata", "it does not say which models and templates made it")
        return not wrong
    if any(map(is_private_path, _texts(told))):
        log.add(path, "path_private", "its metadata holds a path of a machine")
    return not wrong


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)


def _check_rows(
    parquet: pq.ParquetFile, path: str, samples: Mapping[str, ImagesOfSample], log: ProblemLog
) -> None:
    parsed = parse_captions_path(path)
    assert parsed is not None
    seen: set[tuple[str, int]] = set()
    for number, row in enumerate(_rows(parquet)):
        key = (str(row["sample_id"]), row["position"])
        for reason, detail in _row_problems(row, samples.get(key[0]), parsed[1:]):
            log.add(path, reason, detail, number, key[0][:100])
        if key in seen:
            log.add(path, "caption_repeated", f"image {key[1]} has a caption already", number, key[0][:100])
        seen.add(key)


def _rows(parquet: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
        yield from batch.to_pylist()


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


def _check_decisions(parquet: pq.ParquetFile, path: str, captions: Path, log: ProblemLog) -> None:
    """Check that decisions are about the captions that are there now."""
    again = "run `caslie_model judge` again"
    if not captions.is_file():
        log.add(path, "captions_missing", f"there are no captions {captions.name} that it could be about")
        return
    columns = ["sample_id", "position", "caption", "fingerprint"]
    there = {
        (row["sample_id"], row["position"]): caption_fingerprint(row)
        for row in pq.read_table(captions, columns=columns).to_pylist()
        if row["caption"] is not None
    }
    judged: set[tuple[str, int]] = set()
    for number, row in enumerate(_rows(parquet)):
        place = (str(row["sample_id"]), row["position"])
        name = place[0][:100]
        required = ("sample_id", "position", "caption_fingerprint", "kept")
        if missing := [column for column in required if row[column] is None]:
            log.add(path, "value_missing", ", ".join(missing), number, name)
        elif place not in there:
            log.add(path, "caption_unknown", f"image {place[1]} has no caption; {again}", number, name)
        elif there[place] != row["caption_fingerprint"]:
            log.add(path, "caption_changed", f"image {place[1]} has another caption; {again}", number, name)
        if place in judged:
            log.add(path, "decision_repeated", f"image {place[1]} has a decision already", number, name)
        judged.add(place)
    if left := len(there) - len(judged & set(there)):
        log.add(path, "decision_missing", f"{left} captions have none; {again}")
