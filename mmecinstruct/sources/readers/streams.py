"""Open raw files, compressed or not, and read their lines within bounds.

Raw files are not trusted: a line has a size limit, and a damaged archive is an error that names the file. A truncated
archive, as after an interrupted download, is read up to its end: everything unpacked before is valid.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import IO

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import TRUNCATED, FilePart, RowError

MAX_LINE_BYTES = 16 * 1024 * 1024

# Fits into the CPU caches: with 512 KiB, reading took a third longer.
BLOCK_BYTES = 128 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


def _fastest_decoder() -> ModuleType:
    """Return the module that unpacks gzip: isal, at least twice as fast, or zlib where isal is not available."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


inflating = _fastest_decoder()
_DAMAGED: tuple[type[Exception], ...] = (zlib.error, inflating.error)
# zlib's `wbits` for a gzip header and the largest window.
_GZIP = 31


class TruncatedArchive(Exception):
    """The archive ends too early; raised after the last block that could be unpacked."""


def read_blocks(path: Path, start: int = 0) -> Generator[bytes, None, None]:
    """Yield a file's uncompressed bytes in order; `.gz`, `.zst` and `.zstd` are unpacked.

    Args:
        path: The file.
        start: The byte to begin at; only for a file that is not compressed.

    Raises:
        SourceError: The file cannot be read, is damaged or has no decoder on this machine.
        TruncatedArchive: The archive is truncated.
    """
    compression = file_format(path).compression
    try:
        if compression == "zstd":
            yield from _zstandard_blocks(path)
            return
        with path.open("rb") as stream:
            if compression == "gzip":
                _check_gzip(path, stream)
            stream.seek(start)
            yield from (
                _gzip_blocks(stream) if compression == "gzip" else iter(lambda: stream.read(BLOCK_BYTES), b"")
            )
    except _DAMAGED as error:
        raise SourceError(f"{path}: the archive is damaged ({error}); get the file again") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def _check_gzip(path: Path, stream: IO[bytes]) -> None:
    """Raise SourceError where a file does not begin as gzip; an empty file counts as truncated."""
    head = stream.read(len(_GZIP_MAGIC))
    stream.seek(0)
    if not _GZIP_MAGIC.startswith(head):
        raise SourceError(
            f"{path}: not a gzip file; get the file again, or take .gz off its name if it is not compressed"
        )


def _gzip_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Unpack members in order; zeros between and after them are padding."""
    decoder, data = inflating.decompressobj(_GZIP), b""
    between_members, members = True, 0
    while True:
        if not data and not (data := stream.read(BLOCK_BYTES)):
            break
        if between_members and members:
            data = data.lstrip(b"\0")
            if not data:
                continue
        if between_members and not _begins_member(data):
            # Not every decoder detects this, and none from a few bytes.
            raise zlib.error("incorrect header")
        between_members = False
        if block := decoder.decompress(data, BLOCK_BYTES):
            yield block
        data = decoder.unconsumed_tail
        if decoder.eof:
            decoder, data = inflating.decompressobj(_GZIP), decoder.unused_data
            between_members, members = True, members + 1
    if not (between_members and members):
        if block := decoder.flush():
            yield block
        raise TruncatedArchive


def _begins_member(data: bytes) -> bool:
    """Return whether bytes, even a few, can begin a gzip member: magic number, method, known flags."""
    magic, method, flags = data[:2], data[2:3], data[3:4]
    return _GZIP_MAGIC.startswith(magic) and method in (b"", b"\x08") and flags <= b"\x1f"


def _zstandard_blocks(path: Path) -> Iterator[bytes]:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        raise SourceError(f"{path}: this pyarrow has no Zstandard decoder; unpack it with `zstd -d`")
    done = 0
    try:
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            while block := stream.read(BLOCK_BYTES):
                done += len(block)
                yield block
    except OSError as error:
        if "Truncated" not in str(error):
            raise
    else:
        if done == 0 and path.stat().st_size == 0:
            raise TruncatedArchive
        return
    # The read that failed returned none of the bytes that it had unpacked: read these again, byte by byte.
    with pa.CompressedInputStream(str(path), "zstd") as stream:
        while done:
            done -= len(stream.read(min(done, BLOCK_BYTES)))
        rest = bytearray()
        try:
            while byte := stream.read(1):
                rest += byte
        except OSError:
            yield bytes(rest)
    raise TruncatedArchive


def starts_with(path: Path, count: int) -> bytes:
    """Return at most the first `count` bytes of a file, unpacked.

    Raises:
        SourceError: As for `read_blocks`.
    """
    with closing(read_blocks(path)) as blocks:
        try:
            return next(blocks, b"")[:count]
        except TruncatedArchive:
            return b""


def read_lines(
    path: Path, max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, bytes | RowError]]:
    """Yield (line number from 1, line or row error), as `read_line_lists` yields them in lists."""
    for number, lines in read_line_lists(path, max_bytes, part):
        yield from enumerate(lines, number)


def read_line_lists(
    path: Path, max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, list[bytes | RowError]]]:
    """Yield (number of the first line, lines without line feeds), one list for the lines that end in a block.

    Lines are numbered from 1; a byte order mark is left out. A row error replaces a line of more than `max_bytes`
    (line_too_long) and the last line of a truncated archive (truncated_archive). The parts of a file, read in order,
    give the same lines, numbers and row errors as the whole file. To reach a part of an archive, the text before it is
    unpacked.

    Args:
        path: The file, compressed or not.
        max_bytes: The largest line, in bytes, its end included.
        part: The part of the file to read; None for the whole file.

    Raises:
        SourceError: The file is damaged, or truncated within its first line.
    """
    number, rest, skipping = 0, b"", False
    # Where the next line begins; `rest` is what has been read of it.
    offset = 0
    start, stop, known = (0, None, None) if part is None else (part.start, part.stop, part.lines_before)
    blocks = read_blocks(path, 0 if known is None else start)
    try:
        first = b""
        if known is not None:
            number, offset = known, start
        elif start:
            try:
                number, offset, first = _skip_to(start, blocks)
            except TruncatedArchive:
                return  # the part with the break reports it
        if stop is not None and offset >= stop:
            # A line of an earlier part extends beyond this part.
            return
        for block in _with_line_ends(_up_to(stop, offset, chain((first,), blocks)), max_bytes):
            whole = block.split(b"\n")
            whole[0] = rest + whole[0]
            offset += len(rest) + len(block)
            longest = len(rest) + len(block)
            rest = whole.pop()
            offset -= len(rest)
            if whole:
                lines: list[bytes | RowError] = list(whole)
                if longest >= max_bytes:
                    lines = [_too_long(max_bytes) if len(line) >= max_bytes else line for line in whole]
                if skipping:
                    lines[0], skipping = _too_long(max_bytes), False
                elif number == 0 and isinstance(line := lines[0], bytes):
                    lines[0] = line.removeprefix(_BYTE_ORDER_MARK)
                yield number + 1, lines
                number += len(lines)
            if len(rest) > max_bytes:
                offset += len(rest)
                rest, skipping = b"", True
    except TruncatedArchive:
        if number == 0:
            raise SourceError(
                f"{path}: the archive is truncated within its first line; get the file again"
            ) from None
        yield number + 1, [truncation(path, number + 1, offset)]
    else:
        if skipping:
            yield number + 1, [_too_long(max_bytes)]
        elif rest:
            yield number + 1, [rest if number else rest.removeprefix(_BYTE_ORDER_MARK)]
    finally:
        blocks.close()


def _skip_to(start: int, blocks: Iterator[bytes]) -> tuple[int, int, bytes]:
    """Return (lines before the first line from byte `start` on, that line's offset, the rest of its block)."""
    lines = position = 0
    for block in blocks:
        end = block.find(b"\n", max(0, start - 1 - position)) + 1
        if end:
            return lines + line_ends(block[:end]), position + end, block[end:]
        lines += line_ends(block)
        position += len(block)
    return lines, position, b""


def line_ends(block: bytes) -> int:
    """Count the line feeds; for long lines this takes a third of the time of `bytes.count`."""
    return len(block) - len(block.replace(b"\n", b""))


def _up_to(stop: int | None, position: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks, the first at byte `position`, to the end of the last line that begins before byte `stop`."""
    if stop is None:
        yield from blocks
        return
    for block in blocks:
        if end := block.find(b"\n", max(0, stop - 1 - position)) + 1:
            yield block[:end]
            return
        yield block
        position += len(block)


def _with_line_ends(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Join blocks until they contain a line end or exceed `max_bytes`, so that a long line is joined only once."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size > max_bytes or b"\n" in block:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _too_long(max_bytes: int) -> RowError:
    return RowError("line_too_long", f"the line has more than {max_bytes} bytes")


def truncation(path: Path, number: int, offset: int) -> RowError:
    """Return the row error of the record at which an archive breaks off.

    Args:
        path: The archive.
        number: The line of the record.
        offset: The bytes of the unpacked file before that line.
    """
    return RowError(
        TRUNCATED,
        f"the archive of {path.stat().st_size} bytes is truncated: the unpacked text ends in line {number}, which "
        f"begins at byte {offset}; the lines before it are kept. Get the file again",
    )
