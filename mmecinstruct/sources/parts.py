"""Parts of large files of plain JSON lines, so that one file keeps every worker busy.

A part holds whole lines. Its worker copies them into a file of their own, so that each parser reads whole files and
knows of no parts, and counts on from the lines before: rejections name the same line as if the file had been read in
one piece. Compressed files cannot be entered in the middle; Parquet files are small beside them and stay whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mmecinstruct.recipe.sources import CatalogSource, Source
from mmecinstruct.rejections import Rejection
from mmecinstruct.sources.batches import RawFile

PART_BYTES = 128 * 1024 * 1024
_BLOCK_BYTES = 4 * 1024 * 1024
_DIVISIBLE = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class FilePart:
    """Whole lines, from byte `start` to before byte `stop`; `lines_before`: of the file, those before them."""

    start: int
    stop: int
    lines_before: int


def file_parts(source: Source, file: RawFile, part_bytes: int = PART_BYTES) -> list[FilePart]:
    """Return the parts that a file is read in; none where it is read whole.

    A catalogue's rows may be named after their line, which only a whole file tells while it is parsed.

    Raises OSError where the file cannot be read.
    """
    size = file.path.stat().st_size
    if size <= part_bytes or file.path.suffix.lower() not in _DIVISIBLE or isinstance(source, CatalogSource):
        return []
    parts = []
    begin = before = 0
    with file.path.open("rb") as stream:
        while begin < size:
            place, lines = begin, 0
            while place < begin + part_bytes and (
                block := stream.read(min(_BLOCK_BYTES, begin + part_bytes - place))
            ):
                lines += block.count(b"\n")
                place += len(block)
            while block and not block.endswith(
                b"\n"
            ):  # on to the end of the line; an endless one ends the file
                block = stream.readline(_BLOCK_BYTES)
                lines += block.count(b"\n")
                place += len(block)
            if place == begin:
                break  # the file became shorter, which its reader will find
            parts.append(FilePart(begin, place, before))
            begin, before = place, before + lines
    return parts


@contextmanager
def part_file(file: RawFile, part: FilePart, folder: Path) -> Iterator[RawFile]:
    """Give a part as a file of its own, in the folder while the context lasts.

    Raises OSError where it cannot be copied.
    """
    path = folder / f"part{file.path.suffix}"
    try:
        with file.path.open("rb") as source, path.open("wb") as target:
            source.seek(part.start)
            left = part.stop - part.start
            while left and (block := source.read(min(_BLOCK_BYTES, left))):
                target.write(block)
                left -= len(block)
        yield RawFile(file.role, path, file.origin)
    finally:
        if path.exists():
            os.unlink(path)


def moved_on(rejections: list[Rejection], part: FilePart) -> list[Rejection]:
    """Return a part's rejections with the lines of the whole file."""
    moved = []
    for rejection in rejections:
        origin, _, number = rejection.origin.rpartition(":")
        moved.append(replace(rejection, origin=f"{origin}:{int(number) + part.lines_before}"))
    return moved
