"""Open raw files, compressed or not, and read their lines within bounds.

Raw files are not trusted: a line has a size cap, and a damaged archive is an error that names it. An archive that is
only cut short, as by a download that stopped, is read up to the break: what was unpacked before it is as it was.
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
from mmecinstruct.sources.readers.batches import TRUNCATED, FilePart, Refusal

MAX_LINE_BYTES = 16 * 1024 * 1024

_BLOCK_BYTES = 128 * 1024  # fits into the caches of a core: 512 KiB took a third longer
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_BEGINNING = b"\x1f\x8b"


def _fastest_decoder() -> ModuleType:
    """Return what unpacks gzip: isal, in half the time or less, or zlib on a machine that it is not built for."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


inflating = _fastest_decoder()
_DAMAGED: tuple[type[Exception], ...] = (zlib.error, inflating.error)
_GZIP = 31  # zlib's word for: a gzip header, the largest window


class ArchiveCutShort(Exception):
    """The archive ends before its content does; raised after the last block that could be unpacked."""


def read_blocks(path: Path, start: int = 0) -> Generator[bytes, None, None]:
    """Yield a file's uncompressed bytes in order; `.gz`, `.zst` and `.zstd` are unpacked.

    start: the byte to begin at, of a file that is not compressed.

    Raises SourceError where the file cannot be read, is damaged or no decoder of its compression is there, and
    ArchiveCutShort where it is only cut short.
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
                _gzip_blocks(stream)
                if compression == "gzip"
                else iter(lambda: stream.read(_BLOCK_BYTES), b"")
            )
    except _DAMAGED as error:
        raise SourceError(f"{path}: the archive is damaged ({error}); get the file again") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def _check_gzip(path: Path, stream: IO[bytes]) -> None:
    """Raise SourceError where a file does not begin as its name says; an empty one is only cut short."""
    head = stream.read(len(_GZIP_BEGINNING))
    stream.seek(0)
    if not _GZIP_BEGINNING.startswith(head):
        raise SourceError(
            f"{path}: not a gzip file; get the file again, or take .gz off its name if it is not compressed"
        )


def _gzip_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Unpack members one after the other; zeros between and after them are padding."""
    decoder, data = inflating.decompressobj(_GZIP), b""
    between_members, members = True, 0
    while True:
        if not data and not (data := stream.read(_BLOCK_BYTES)):
            break
        if between_members and members:
            data = data.lstrip(b"\0")
            if not data:
                continue
        if between_members and not _begins_member(data):
            raise zlib.error("incorrect header")  # not every decoder sees it, and not from a few bytes
        between_members = False
        if block := decoder.decompress(data, _BLOCK_BYTES):
            yield block
        data = decoder.unconsumed_tail
        if decoder.eof:
            decoder, data = inflating.decompressobj(_GZIP), decoder.unused_data
            between_members, members = True, members + 1
    if not (between_members and members):
        if block := decoder.flush():
            yield block
        raise ArchiveCutShort


def _begins_member(data: bytes) -> bool:
    """Tell whether bytes, be they few, can begin a gzip member: the mark, the one method, no flag without meaning."""
    mark, method, flags = data[:2], data[2:3], data[3:4]
    return _GZIP_BEGINNING.startswith(mark) and method in (b"", b"\x08") and flags <= b"\x1f"


def _zstandard_blocks(path: Path) -> Iterator[bytes]:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        raise SourceError(f"{path}: this pyarrow has no Zstandard decoder; unpack it with `zstd -d`")
    done = 0
    try:
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            while block := stream.read(_BLOCK_BYTES):
                done += len(block)
                yield block
    except OSError as error:
        if "Truncated" not in str(error):
            raise
    else:
        if done == 0 and path.stat().st_size == 0:
            raise ArchiveCutShort
        return
    # The read that met the break gave nothing of what it had unpacked: read that much once more, byte by byte.
    with pa.CompressedInputStream(str(path), "zstd") as stream:
        while done:
            done -= len(stream.read(min(done, _BLOCK_BYTES)))
        rest = bytearray()
        try:
            while byte := stream.read(1):
                rest += byte
        except OSError:
            yield bytes(rest)
    raise ArchiveCutShort


def starts_with(path: Path, count: int) -> bytes:
    """Return at most `count` bytes of a file's beginning, unpacked.

    Raises SourceError as `read_blocks` does.
    """
    with closing(read_blocks(path)) as blocks:
        try:
            return next(blocks, b"")[:count]
        except ArchiveCutShort:
            return b""


def read_lines(
    path: Path, max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, bytes | Refusal]]:
    """Yield (line number from 1, line or refusal), as `read_line_lists` has them."""
    for number, lines in read_line_lists(path, max_bytes, part):
        yield from enumerate(lines, number)


def read_line_lists(
    path: Path, max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, list[bytes | Refusal]]]:
    """Yield (number of the first, lines without line feeds), a list for those that end in one block of the file.

    Lines are numbered from 1; a byte order mark is left out. A refusal stands for a line of more than `max_bytes`
    bytes, its end included (line_too_long), and for the line at which an archive breaks off (truncated_archive), the
    last. Of the parts of a file, read one after the other, come the same lines, numbers and refusals as of the file; to
    reach a part of an archive, what lies before is unpacked.

    Raises SourceError where the file is damaged, or breaks off before its first line ends.
    """
    number, rest, skipping = 0, b"", False
    offset = 0  # where the next line begins, of which `rest` is there
    start, stop, known = (0, None, None) if part is None else (part.start, part.stop, part.lines_before)
    blocks = read_blocks(path, 0 if known is None else start)
    try:
        first = b""
        if known is not None:
            number, offset = known, start
        elif start:
            try:
                number, offset, first = _skip_to(start, blocks)
            except ArchiveCutShort:
                return  # the part in which it breaks off says so
        if stop is not None and offset >= stop:
            return  # one line of the part before is as long as this part
        for block in _with_line_ends(_up_to(stop, offset, chain((first,), blocks)), max_bytes):
            whole = block.split(b"\n")
            whole[0] = rest + whole[0]
            offset += len(rest) + len(block)
            longest = len(rest) + len(block)
            rest = whole.pop()
            offset -= len(rest)
            if whole:
                lines: list[bytes | Refusal] = list(whole)
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
    except ArchiveCutShort:
        if number == 0:
            raise SourceError(
                f"{path}: the archive is cut short within its first line; get the file again"
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
    """Find the first line from byte `start` on; return the lines before it, its offset and the rest of its block."""
    lines = place = 0
    for block in blocks:
        end = block.find(b"\n", max(0, start - 1 - place)) + 1
        if end:
            return lines + line_ends(block[:end]), place + end, block[end:]
        lines += line_ends(block)
        place += len(block)
    return lines, place, b""


def line_ends(block: bytes) -> int:
    """Count the line feeds: of long lines in a third of the time of `count`, which looks at every byte by itself."""
    return len(block) - len(block.replace(b"\n", b""))


def _up_to(stop: int | None, place: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks, the first at byte `place`, to the end of the last line that begins before byte `stop`."""
    if stop is None:
        yield from blocks
        return
    for block in blocks:
        if end := block.find(b"\n", max(0, stop - 1 - place)) + 1:
            yield block[:end]
            return
        yield block
        place += len(block)


def _with_line_ends(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Join blocks until a line ends in them or they are longer than a line may be; a long line is so joined once."""
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


def _too_long(max_bytes: int) -> Refusal:
    return Refusal("line_too_long", f"the line has more than {max_bytes} bytes")


def truncation(path: Path, number: int, offset: int) -> Refusal:
    """Return the refusal of the record at which an archive breaks off.

    number: its line. offset: bytes of the unpacked file before that line.
    """
    return Refusal(
        TRUNCATED,
        f"the archive of {path.stat().st_size} bytes is cut short: what could be unpacked ends in line {number}, which "
        f"begins at byte {offset}; the lines before it are kept. Get the file again",
    )
