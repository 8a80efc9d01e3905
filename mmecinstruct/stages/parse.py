"""Parse the raw files of a source into tables."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.parquet import TableWriters
from mmecinstruct.curate.settings import MAX_TEXT
from mmecinstruct.engine.executors.local import LocalExecutor, cores
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import REJECTIONS_FILE, RUNTIME, Counts, Files, Stage, WorkItem
from mmecinstruct.schemas.rejections import rejections_table
from mmecinstruct.sources import RawFile, parse_file, source_files
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import TRUNCATED, FilePart
from mmecinstruct.sources.readers.parts import file_parts, packed_weight
from mmecinstruct.sources.settings import Source

if TYPE_CHECKING:
    from mmecinstruct.sources import RawFile

PACKED_WEIGHT = 4  # bytes of text in a byte of a compressed file


class RawPart(NamedTuple):
    """A raw file, by its position in the stage's lists, and the part of it to parse; None is the whole file."""

    number: int
    part: FilePart | None = None


@dataclass(frozen=True, kw_only=True)
class Parse(Stage):
    """Write `<table>.parquet` for each table that a raw file, or a part of one, has rows of.

    Attributes:
        number: of the source in the recipe.
        source: the recipe's source.
        roles: what each file is to the source.
        origins: path of each file below the data root; rejections name it.
        files: the raw files.
        stamps: of each file, `file_stamp` from before its hash was taken.
        max_text: characters of the longest text that is kept.
        most_packed_parts: into how many parts an archive may be cut.
    """

    name = "parse"
    version = 8
    libraries = ("msgspec", "selectolax")

    number: int
    source: Source
    roles: tuple[str, ...]
    origins: tuple[str, ...]
    files: Files
    stamps: tuple[tuple[int, int], ...] = field(metadata=RUNTIME)
    max_text: int = MAX_TEXT
    most_packed_parts: int | None = field(default=None, metadata=RUNTIME)

    @property
    def label(self) -> str:
        """The stage's name with the source's number and kind."""
        return f"{self.name}-{self.number:02d}-{self.source.kind}"

    def raw_file(self, number: int, part: FilePart | None = None) -> RawFile:
        """Return the raw file at a position of the lists, or a part of it."""
        return RawFile(self.roles[number], self.files.paths[number], self.origins[number], part)

    def items(self) -> Sequence[WorkItem]:
        """Cut files where that is possible. Keys sort in the order of rows; weights are bytes, roughly as unpacked.

        Keys of parts name their ranges: if another machine or version cuts otherwise, no part of a killed build is
        mistaken for another.
        """
        items = []
        for number, (path, stamp) in enumerate(zip(self.files.paths, self.stamps, strict=True)):
            packed_file = file_format(path).outer in ("gzip", "zstd", "parquet")
            weight = stamp[0] * (PACKED_WEIGHT if packed_file else 1)
            parts = file_parts(self.source, self.raw_file(number), most_packed_parts=self.most_packed_parts)
            for part in parts:
                packed = part.lines_before is None
                share = round(weight * packed_weight(len(parts))) if packed else weight // len(parts)
                key = f"{number:05d}-{part.start:015d}-{'end' if part.stop is None else part.stop}"
                items.append(WorkItem(key, RawPart(number, part), share))
            if not parts:
                items.append(WorkItem(f"{number:05d}", RawPart(number), weight))
        return items

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Parse a file or a part of one. The counts name a truncated archive (`truncated`).

        Raises SourceError where the file changed since its hash was taken.
        """
        records = kept = rejected = 0
        truncated: list[str] = []
        file = self.raw_file(*item.payload)
        collecting = gc.isenabled()
        # Millions of rows and no cycle among them: looking for one takes a seventh of the time. Between batches there
        # are few objects to search: those that Python's own reader of literals leaves, a kilobyte per line.
        gc.disable()
        try:
            with TableWriters(folder) as writers:
                for batch in parse_file(self.source, file, self.max_text):
                    records += batch.records
                    kept += batch.kept
                    rejected += len(batch.rejections)
                    truncated += [
                        f"{r.origin}: {r.detail}" for r in batch.rejections if r.reason == TRUNCATED
                    ]
                    for name, table in sorted(batch.tables.items()):
                        writers.append(table, f"{name}.parquet")
                    writers.append(rejections_table(batch.rejections), REJECTIONS_FILE)
                    gc.collect(0)
        finally:
            if collecting:
                gc.enable()
        if file_stamp(file.path) != self.stamps[item.payload.number]:
            raise SourceError(f"{file.path} changed while it was read; run the build again")
        return Counts(records, kept, rejected, {"truncated": truncated} if truncated else None)


def file_stamp(path: Path) -> tuple[int, int]:
    """Return the size and time of modification of a file, which change with its content.

    Raises SourceError where the file cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


def parse_stages(run: Run, sources: Sequence[Source], root: Path, max_text: int = MAX_TEXT) -> list[Parse]:
    """Return the stage of each source, whose files are below `root`; longer texts than `max_text` are refused."""
    # Parts of an archive are read by all cores of this machine, or of a cluster. The number of this run's workers does
    # not count: a build that continues with fewer of them keeps its finished parts.
    at_once = cores() if isinstance(run.executor, LocalExecutor) else None
    found = [source_files(source, root) for source in sources]
    stamps = [tuple(file_stamp(file.path) for file in files) for files in found]
    paths = [file.path for files in found for file in files]
    hashes = dict(zip(paths, run.file_fingerprints(paths), strict=True))
    return [
        Parse(
            number=number,
            source=source,
            roles=tuple(file.role for file in files),
            origins=tuple(file.origin for file in files),
            files=Files(
                tuple(file.path for file in files),
                {f"{file.role}:{file.origin}": hashes[file.path] for file in files},
                {file.path: hashes[file.path] for file in files},
            ),
            stamps=times,
            max_text=max_text,
            most_packed_parts=at_once,
        )
        for number, (source, files, times) in enumerate(zip(sources, found, stamps, strict=True))
    ]
