"""Write text files, compressed or not, whose bytes depend only on the text."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

_GZIP_LEVEL = 4


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a file for writing text; `.gz` and `.zst` are compressed. Folders are made as needed.

    Neither time nor name goes into an archive, so the same text makes the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as packed,
            TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
        ):
            yield text
    elif path.suffix == ".zst":
        import pyarrow as pa

        with (
            pa.CompressedOutputStream(str(path), "zstd") as packed,
            TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
        ):
            yield text
    else:
        with path.open("w", encoding="utf-8", newline="\n") as text:
            yield text
