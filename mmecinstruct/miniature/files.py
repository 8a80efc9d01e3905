"""The files of a miniature, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from mmecinstruct.executors.local import LocalExecutor
from mmecinstruct.miniature.metadata import Metadata
from mmecinstruct.miniature.reviews import Reviews
from mmecinstruct.miniature.vocabulary import DEPARTMENTS
from mmecinstruct.miniature.volumes import Volumes
from mmecinstruct.miniature.world import world_of
from mmecinstruct.miniature.writing import TextSource, write_text

_METADATA_ROWS, _REVIEW_ROWS = 2_000, 8_000  # per part: a few megabytes of text


@dataclass(frozen=True, slots=True)
class TextFile:
    """One text file: its name below the folder, its records, how many make a part, what makes them."""

    name: str
    rows: int
    part_rows: int
    make: Callable[[], TextSource]


def text_files(volumes: Volumes, seed: int) -> list[TextFile]:
    """Return the text files of a miniature; those without a record are left out."""
    files = []
    for number, department in enumerate(DEPARTMENTS):
        files += [
            TextFile(
                f"amazon2018/meta_{department.file}.json.gz",
                volumes.products[number],
                _METADATA_ROWS,
                partial(_metadata, seed, volumes, number),
            ),
            TextFile(
                f"amazon2018/{department.file}_5.json.gz",
                volumes.reviews[number],
                _REVIEW_ROWS,
                partial(_reviews, seed, volumes, number),
            ),
        ]
    return [file for file in files if file.rows]


@lru_cache(maxsize=2)
def _metadata(seed: int, volumes: Volumes, department: int) -> TextSource:
    return Metadata(world_of(seed, volumes), department)


@lru_cache(maxsize=2)
def _reviews(seed: int, volumes: Volumes, department: int) -> TextSource:
    return Reviews(world_of(seed, volumes), department)


def write_files(
    folder: Path,
    volumes: Volumes,
    seed: int,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write the files of the volumes below `folder`; as `write_miniature`, for any numbers of records."""
    files = text_files(volumes, seed)
    written = {}
    with LocalExecutor(workers) as executor:
        for file in files:
            written[file.name] = write_text(
                folder / file.name, file.rows, file.part_rows, file.make, executor
            )
            if progress is not None:
                progress(len(written), len(files))
    return written
