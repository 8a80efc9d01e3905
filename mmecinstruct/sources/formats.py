"""Tell a file's table format and compression from its name."""

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
    """The format of a file.

    Attributes:
        table: The format of the table, None where it is unknown; `json` means JSON lines.
        compression: The compression, None for an uncompressed file.
        suffix: The file ending that names the table format, in lower case, known or not.
    """

    table: Table | None
    compression: Compression | None
    suffix: str

    @property
    def outer(self) -> Table | Compression | None:
        """The format of the file's bytes: the compression where there is one, else the table format."""
        return self.compression or self.table


def file_format(name: Path | str) -> FileFormat:
    """Return the format of a file by its name: `a.json.gz` is JSON lines with gzip."""
    path = Path(name)
    compression = _COMPRESSIONS.get(path.suffix.lower())
    suffix = (Path(path.stem) if compression else path).suffix.lower()
    return FileFormat(_TABLES.get(suffix), compression, suffix)
