"""What a raw file is by its first and last bytes: an error page under a file's name is found out at once."""

from __future__ import annotations

import re
from pathlib import Path

from mmecinstruct.core.console import printable
from mmecinstruct.sources.formats import file_format

HEAD_BYTES = 2048  # enough for every check of a beginning
_MAGIC: dict[str | None, tuple[bytes, str]] = {
    "gzip": (b"\x1f\x8b", "a gzip file"),
    "zstd": (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    "parquet": (b"PAR1", "a Parquet file"),
}
_PARQUET_END = b"PAR1"
_PACKED = {"gzip": ".gz", "zstd": ".zst"}  # read as lines of text, such a file would lose every one of them
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|error\b)", flags=re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", flags=re.IGNORECASE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def wrong_beginning(name: str, head: bytes) -> str | None:
    """Say what a file's first bytes (up to HEAD_BYTES) are instead of what its name promises; None where they fit."""
    if not head:
        return "is empty"
    promised = file_format(name).outer
    if head.startswith(_LFS_POINTER):
        return "is a Git LFS pointer instead of the file it points to (`git lfs pull` gets that)"
    if _MARKUP.match(head):
        title = _TITLE.search(head)
        said = (
            f", “{printable(' '.join(title[1].decode('utf-8', 'replace').split()))[:100]}”" if title else ""
        )
        return f"is a web page{said}, instead of {_MAGIC.get(promised, (b'', 'data'))[1]}"
    magic, kind = _MAGIC.get(promised, (b"", ""))
    if not head.startswith(magic):
        return f"does not begin as {kind} does"
    for packed, suffix in _PACKED.items():
        magic, kind = _MAGIC[packed]
        if packed != promised and head.startswith(magic):
            return f"is {kind}, and its name does not end in {suffix}"
    return None


def wrong_file(path: Path, name: str) -> str | None:
    """Say what is wrong with a whole file, by its beginning and, where the format marks it, its end.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as stream:
        wrong = wrong_beginning(name, stream.read(HEAD_BYTES))
        if wrong is not None or file_format(name).outer != "parquet":
            return wrong
        stream.seek(-min(4, path.stat().st_size), 2)
        return None if stream.read() == _PARQUET_END else "is cut short: a Parquet file ends with PAR1"
