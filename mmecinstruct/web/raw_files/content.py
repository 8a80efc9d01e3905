"""Check a raw file by its first and last bytes, so that an error page under a file's name is detected at once."""

from __future__ import annotations

import re
from pathlib import Path

from mmecinstruct.core.shown import printable
from mmecinstruct.sources.formats import file_format

HEAD_BYTES = 2048  # enough for every check of the first bytes
_MAGIC: dict[str | None, tuple[bytes, str]] = {
    "gzip": (b"\x1f\x8b", "a gzip file"),
    "zstd": (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    "parquet": (b"PAR1", "a Parquet file"),
}
_PARQUET_END = b"PAR1"
# Compressed formats and the file ending that they need: without it, no line of the file could be read.
_PACKED = {"gzip": ".gz", "zstd": ".zst"}
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|error\b)", flags=re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", flags=re.IGNORECASE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def wrong_first_bytes(name: str, head: bytes) -> str | None:
    """Return the problem of a file's first bytes, None where they fit its name.

    Args:
        name: The file's name.
        head: Its first bytes, up to HEAD_BYTES.
    """
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
    """Return the problem of a whole file, by its first bytes and, for Parquet, its last ones; None where it fits.

    Args:
        path: The file.
        name: The name that the file has or will get.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        wrong = wrong_first_bytes(name, stream.read(HEAD_BYTES))
        if wrong is not None or file_format(name).outer != "parquet":
            return wrong
        stream.seek(-min(4, path.stat().st_size), 2)
        return None if stream.read() == _PARQUET_END else "is truncated: a Parquet file ends with PAR1"
