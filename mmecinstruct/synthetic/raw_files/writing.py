"""Write generated texts to files: in parts, in several processes, each file atomically.

A text file is cut into parts of records. Any free process makes and compresses a part. The parts' bytes, in their
order, make one gzip stream, so that the number of processes changes no byte.
"""

from __future__ import annotations

import glob
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa

from mmecinstruct.core.files import is_running
from mmecinstruct.engine.executors.local import LocalExecutor

GZIP_LEVEL = 1
# No time, no name, fastest compression, unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# The last, empty block of a deflate stream.
_EMPTY_END = b"\x03\x00"
_CRC_POLYNOMIAL = 0xEDB88320


class TextSource(Protocol):
    """The source of one file's lines."""

    @property
    def rows(self) -> int:
        """The number of records."""

    def text(self, first: int, last: int) -> pa.Buffer:
        """Return the lines of records from `first` to before `last`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file's text.

    Attributes:
        number: The number of the part, from 0.
        first: The first record.
        last: The record before which the part ends.
        make: Returns the file's source.
        compressed: Whether the part is compressed.
    """

    number: int
    first: int
    last: int
    make: Callable[[], TextSource]
    compressed: bool


@dataclass(frozen=True, slots=True)
class Made:
    """The bytes of a part in the file, and the length and CRC-32 of its text."""

    number: int
    content: bytes
    length: int
    checksum: int


def make_part(part: Part) -> Made:
    """Make one part; runs in any process."""
    data = memoryview(part.make().text(part.first, part.last))
    if not part.compressed:
        return Made(part.number, bytes(data), len(data), 0)
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    # Flushed to a byte boundary, so that the next part's blocks may follow.
    content = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    return Made(part.number, content, len(data), zlib.crc32(data))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it replaces `path` where no exception is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove the temporary files of killed processes for these paths."""
    for path in paths:
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            number = left.name.split(".")[-2]
            if number.isdigit() and not is_running(int(number)):
                left.unlink(missing_ok=True)


def write_text(path: Path, part_rows: int, make: Callable[[], TextSource], executor: LocalExecutor) -> int:
    """Write the lines of a source, gzipped where the name ends in `.gz`.

    Args:
        path: The file to write.
        part_rows: The records of a part.
        make: Returns the source; called in any process.
        executor: Runs the parts.

    Returns:
        The bytes of the text.
    """
    compressed = path.suffix == ".gz"
    rows = make().rows
    parts = [
        Part(number, first, min(first + part_rows, rows), make, compressed)
        for number, first in enumerate(range(0, rows, part_rows))
    ]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        if compressed:
            stream.write(_GZIP_HEAD)
        length, checksum = _write_parts(stream, _in_order(executor.run(make_part, parts)))
        if compressed:
            stream.write(_EMPTY_END + struct.pack("<II", checksum, length % 2**32))
    return length


def _write_parts(stream: IO[bytes], parts: Iterator[Made]) -> tuple[int, int]:
    length = checksum = 0
    for part in parts:
        stream.write(part.content)
        checksum = joined_crc32(checksum, part.checksum, part.length)
        length += part.length
    return length, checksum


def _in_order(parts: Iterator[Made]) -> Iterator[Made]:
    """Yield parts by number; those that finish early wait."""
    waiting: dict[int, Made] = {}
    wanted = 0
    for part in parts:
        waiting[part.number] = part
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted += 1


def joined_crc32(one: int, two: int, length: int) -> int:
    """Return the CRC-32 of two concatenated texts.

    Appending zero bytes is a linear map of the checksum over GF(2); it is applied once for each bit of the length.

    Args:
        one: The checksum of the first text.
        two: The checksum of the second text.
        length: The bytes of the second text.
    """
    matrix = [_CRC_POLYNOMIAL, *(1 << bit for bit in range(31))]  # one zero bit
    for _ in range(3):
        matrix = _squared(matrix)  # one zero byte
    while length:
        if length & 1:
            one = _applied(matrix, one)
        length >>= 1
        if length:
            matrix = _squared(matrix)
    return one ^ two


def _applied(matrix: Sequence[int], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
    return result


def _squared(matrix: Sequence[int]) -> list[int]:
    return [_applied(matrix, column) for column in matrix]
