"""What a file holds, by its name: the format of its table and its compression."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

Table = Literal["csv", "tsv", "json", "parquet"]
Compression = Literal["gzip", "zstd"]

_TABLES: dict[str, Table] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


class FileFormat(NamedTuple):
    """table: json is JSON lines. suffix: the ending that tells the table, in lower case, known or not."""

    table: Table | None
    compression: Compression | None
    suffix: str

    @property
    def outer(self) -> Table | Compression | None:
        """What the file's own bytes are: the archive, where it is compressed."""
        return self.compression or self.table


def file_format(name: Path | str) -> FileFormat:
    """Return the format of a file by its name: JSON lines and gzip of `a.json.gz`."""
    path = Path(name)
    compression = _COMPRESSIONS.get(path.suffix.lower())
    suffix = (Path(path.stem) if compression else path).suffix.lower()
    return FileFormat(_TABLES.get(suffix), compression, suffix)
