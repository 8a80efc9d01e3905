"""The files of a dataset folder, ours or anyone's: `<task>/<split>-….parquet`, or `<task>/<split>.parquet`."""

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

MAX_ROW_GROUP_BYTES = 4 * 2**30  # uncompressed: one row group at most is in memory

_NAME = re.compile(rf"({'|'.join(SPLITS)})(?:-[^/]*)?\.parquet")


@dataclass(frozen=True)
class SampleFile:
    """One file of samples. number: its place in the order of the folder, which makes the ids of its samples."""

    number: int
    path: str  # below the folder
    task: str
    split: str


def find_sample_files(folder: Path) -> list[SampleFile]:
    """Return the files of samples, by task (this program's first), split and name. Every folder is taken for a task.

    Raises DatasetError when there is no folder or no such file.
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
    """Return the Parquet files that are taken for no samples, as paths below the folder, sorted.

    A split of another name (`dev`, `valid`) would else look clean because nobody looked.
    """
    read = {file.path for file in files} | {REJECTIONS_PATH}
    found = (file.relative_to(folder) for file in folder.rglob("*.parquet"))
    shown = {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}
    return tuple(sorted(shown - read))


@contextmanager
def open_shard(folder: Path, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file of samples. Raises DatasetError, also for what goes wrong while it is read."""
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
