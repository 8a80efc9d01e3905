"""Find the files of any dataset folder: `<task>/<split>-….parquet` or `<task>/<split>.parquet`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.dataset.shards import REJECTIONS_PATH
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import TASKS

# Uncompressed; at most one row group is in memory.
MAX_ROW_GROUP_BYTES = 4 * 2**30

_NAME = re.compile(rf"({'|'.join(SPLITS)})(?:-[^/]*)?\.parquet")


@dataclass(frozen=True)
class SampleFile:
    """One file of samples.

    Attributes:
        number: Position of the file in the folder, from which the numbers of its samples are derived.
        path: Below the folder.
        task: Name of the task.
        split: Name of the split.
    """

    number: int
    path: str
    task: str
    split: str


def find_sample_files(folder: Path) -> list[SampleFile]:
    """Return the files of samples, by task (known tasks first), split and name. Every subfolder is a task.

    Raises:
        DatasetError: The folder does not exist or has no file of samples.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder")
    found = []
    ranks = {task: rank for rank, task in enumerate(TASKS)}
    for file in folder.glob("*/*.parquet"):
        match = _NAME.fullmatch(file.name)
        task = file.parent.name
        if match is None or task.startswith("."):
            continue
        found.append(((ranks.get(task, len(ranks)), task, SPLITS.index(match[1]), file.name), task, match[1]))
    if not found:
        raise DatasetError(
            f"{folder}: no file <task>/<split>-*.parquet; splits are {', '.join(SPLITS)}: is this a dataset folder?"
        )
    return [
        SampleFile(number, f"{task}/{key[-1]}", task, split)
        for number, (key, task, split) in enumerate(sorted(found))
    ]


def find_unread_files(folder: Path, files: Sequence[SampleFile]) -> tuple[str, ...]:
    """Return the Parquet files that the audit does not read, as sorted paths below the folder.

    Without this list a split of another name (`dev`, `valid`) would pass unread.

    Args:
        folder: The dataset folder.
        files: The files that the audit reads.
    """
    read = {file.path for file in files} | {REJECTIONS_PATH}
    found = (file.relative_to(folder) for file in folder.rglob("*.parquet"))
    shown = {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}
    return tuple(sorted(shown - read))


@contextmanager
def open_shard(folder: Path, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file of samples.

    Args:
        folder: The dataset folder.
        path: Below the folder.

    Raises:
        DatasetError: The file cannot be opened, or reading it in the context fails.
    """
    try:
        with pq.ParquetFile(folder / path) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).total_byte_size
                if size > MAX_ROW_GROUP_BYTES:
                    raise DatasetError(
                        f"{path}: row group {group} has {size} bytes uncompressed, more than {MAX_ROW_GROUP_BYTES}; "
                        "write it with smaller row groups"
                    )
            yield file
    except (OSError, ValueError, OverflowError, MemoryError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path}: cannot be read as Parquet: {' '.join(str(error).split())[:300]}; fetch or build it again"
        ) from error
