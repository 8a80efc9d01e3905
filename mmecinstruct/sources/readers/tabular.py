"""Read the rows of CSV, JSON-lines and (by `parquet`) Parquet files as dictionaries, within bounds, numbered.

The number of a CSV row is the line on which it begins, as an editor counts lines; that of a Parquet row is its
position from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import FLUSH, FilePart, RowError
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.parquet import read_parquet
from mmecinstruct.sources.readers.quotes import CellReader
from mmecinstruct.sources.readers.rows import Row, require_columns
from mmecinstruct.sources.readers.streams import starts_with
from mmecinstruct.sources.settings import Quoting


def read_rows(
    path: Path,
    wanted: Mapping[str, str],
    optional: Iterable[str] = (),
    part: FilePart | None = None,
    quoting: Quoting = "auto",
) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (number, row or row error) of a table, read by its file's ending.

    A row without a column gives a dictionary without it.

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.
        optional: Columns that are read where the file has them.
        part: The part of a Parquet file; other files are read whole.
        quoting: What a quote at the beginning of a cell of CSV or TSV means.

    Raises:
        SourceError: The ending is unknown, the file cannot be read or a wanted column is missing.
    """
    table, _, suffix = file_format(path)
    match table:
        case "csv" | "tsv":
            return read_csv(path, wanted, quoting)
        case "json":
            return _read_json_rows(path, wanted)
        case "parquet":
            return read_parquet(path, wanted, optional, part)
    raise SourceError(
        f"{path}: no reader for '{suffix}'; convert it to .csv, .tsv, .json or .jsonl (JSON lines) or .parquet"
    )


# --- JSON lines --------------------------------------------------------------------------------------


def _read_json_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[int, Row | RowError]]:
    """Yield JSON lines; a line may lack keys, but a column that no line has is an error."""
    unseen, names = set(wanted.values()), dict[str, None]()
    if starts_with(path, 64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        raise SourceError(f"{path}: this is a JSON list; write one object per line (`jq -c '.[]'` does it)")
    for number, row in read_json_lines(path, dict):
        if unseen and not isinstance(row, RowError):
            unseen.difference_update(row)
            names.update(dict.fromkeys(row))
        yield number, row
    if unseen and names:
        require_columns(path, list(names), wanted)


# --- CSV ---------------------------------------------------------------------------------------------


def read_csv(
    path: Path, wanted: Mapping[str, str], quoting: Quoting = "auto"
) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (line on which the row begins, row or row error) of a CSV file with a header, or `.tsv`.

    Reasons: bad_row (stray quotes, too few or too many cells), not_utf8, truncated_archive (for the last row of a
    truncated archive).

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.
        quoting: What a quote at the beginning of a cell means, see `quotes`.

    Raises:
        SourceError: The header lacks a wanted column, or cannot be read.
    """
    header: list[str] | None = None
    reader = CellReader(path, "\t" if file_format(path).table == "tsv" else ",", quoting)
    for start, cells in reader.rows():
        if isinstance(cells, RowError):
            if header is None and cells is not FLUSH:
                remedy = "save it as UTF-8" if cells.reason == "not_utf8" else "the file needs a header line"
                raise SourceError(f"{path}:{start}: {cells.detail}; {remedy}")
            yield start, cells
        elif header is None:
            header = [name.strip() for name in cells]
            if len(header) == 1 and ";" in header[0] and header[0] not in wanted.values():
                raise SourceError(
                    f"{path}: its cells are separated by semicolons; save it with commas or as .tsv"
                )
            require_columns(path, header, wanted)
            reader.expect(cells, _id_column(header, wanted))
        elif len(cells) != len(header):
            yield start, RowError("bad_row", f"{len(cells)} cells where the header has {len(header)}")
        else:
            yield start, dict(zip(header, cells, strict=True))
    if header is None:
        raise SourceError(f"{path}: the file is empty; it needs a header line")


def _id_column(header: list[str], wanted: Mapping[str, str]) -> int:
    """Return the position of the column of ids, the first column where no field names it."""
    for field, column in wanted.items():
        if field.rpartition(".")[2] in ("id", "product"):
            return header.index(column)
    return 0
