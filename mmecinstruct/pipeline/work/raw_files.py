"""Parse one raw file, or a part of one, into tables."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.parquet import TableWriters
from mmecinstruct.engine.stage import REJECTIONS_FILE, Counts
from mmecinstruct.schemas.rejections import rejections_table
from mmecinstruct.sources.readers.batches import FilePart
from mmecinstruct.sources.settings import Source


@dataclass(frozen=True)
class ParsePayload:
    """Parse one raw file or a part of it. stamp: the file's size and time of modification before its hash was taken."""

    source: Source
    role: str
    path: Path
    origin: str
    stamp: tuple[int, int]
    part: FilePart | None = None


def parse_raw_file(payload: ParsePayload, folder: Path) -> Counts:
    """Write `<table>.parquet` for each table that the raw file has rows of.

    Where the archive is cut short, the counts say so (`cut_short`).

    Raises SourceError where the file changed since its hash was taken.
    """
    from mmecinstruct.sources import RawFile, parse_file
    from mmecinstruct.sources.readers.batches import TRUNCATED

    records = kept = rejected = 0
    cut_short: list[str] = []
    file = RawFile(payload.role, payload.path, payload.origin, payload.part)
    collecting = gc.isenabled()
    # Millions of rows and no cycle among them: looking for one takes a seventh of the time. Between batches there is
    # nothing to look through but what some lines leave: Python's own reader of literals a kilobyte each.
    gc.disable()
    try:
        with TableWriters(folder) as writers:
            for batch in parse_file(payload.source, file):
                records += batch.records
                kept += batch.kept
                rejected += len(batch.rejections)
                cut_short += [f"{r.origin}: {r.detail}" for r in batch.rejections if r.reason == TRUNCATED]
                for name, table in sorted(batch.tables.items()):
                    writers.append(table, f"{name}.parquet")
                writers.append(rejections_table(batch.rejections), REJECTIONS_FILE)
                gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    if file_stamp(payload.path) != payload.stamp:
        raise SourceError(f"{payload.path} changed while it was read; run the build again")
    return Counts(records, kept, rejected, {"cut_short": cut_short} if cut_short else None)


def file_stamp(path: Path) -> tuple[int, int]:
    """Return what changes with a file's content: size and time of modification.

    Raises SourceError where the file cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns
