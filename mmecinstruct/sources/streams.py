"""Open raw files, compressed or not, and read their lines within bounds.

Raw files are not trusted: a line has a size cap, and a damaged archive is an error that names it.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from mmecinstruct.errors import SourceError

MAX_LINE_BYTES = 16 * 1024 * 1024

_ZSTANDARD = (".zst", ".zstd")
_COMPRESSED = (".gz", *_ZSTANDARD)


def data_suffix(path: Path) -> str:
    """Return the ending that tells a file's format, below that of its compression: `.json` of `a.json.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _COMPRESSED else suffix


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading its uncompressed bytes; `.gz`, `.zst` and `.zstd` are decompressed.

    Raises SourceError where the file cannot be read, is damaged (also later, while reading) or no
    decoder of its compression is there.
    """
    try:
        with _open(path) as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path}: the archive is damaged or cut short ({error}); get the file again"
        ) from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix in _ZSTANDARD:
        return _open_zstandard(path)
    return path.open("rb")


def _open_zstandard(path: Path) -> IO[bytes]:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        raise SourceError(f"{path}: this pyarrow has no Zstandard decoder; unpack it with `zstd -d`")
    return io.BufferedReader(pa.CompressedInputStream(str(path), "zstd"))


def read_lines(stream: IO[bytes], max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number from 1, line) of the lines that are not blank; None stands for a line too long."""
    number = 0
    read = stream.readline
    while line := read(max_bytes + 1):
        number += 1
        if len(line) > max_bytes:
            while line and not line.endswith(b"\n"):
                line = read(max_bytes)
            yield number, None
        elif not line.isspace():
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
