"""Read the rows of CSV, JSON-lines and (by `parquet`) Parquet files as dictionaries, within bounds, numbered.

The number of a CSV row is the line on which it begins, as an editor counts lines; that of a Parquet row is its
position from 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import BATCH_BYTES, FLUSH, TRUNCATED, FilePart, RowError
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.parquet import read_parquet
from mmecinstruct.sources.readers.rows import Row, require_columns
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES, read_lines, starts_with, truncation

# Of all lines of a CSV row.
MAX_ROW_BYTES = 2 * MAX_LINE_BYTES


def read_rows(
    path: Path, wanted: Mapping[str, str], optional: Iterable[str] = (), part: FilePart | None = None
) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (number, row or row error) of a table, read by its file's ending.

    A row without a column gives a dictionary without it.

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.
        optional: Columns that are read where the file has them.
        part: The part of a Parquet file; other files are read whole.

    Raises:
        SourceError: The ending is unknown, the file cannot be read or a wanted column is missing.
    """
    table, _, suffix = file_format(path)
    match table:
        case "csv" | "tsv":
            return read_csv(path, wanted)
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


def read_csv(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (line on which the row begins, row or row error) of a CSV file with a header, or `.tsv`.

    Reasons: bad_row (stray quotes, too few or too many cells), not_utf8, truncated_archive (for the last row of a
    truncated archive).

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.

    Raises:
        SourceError: The header lacks a wanted column or a quote is never closed.
    """
    header: list[str] | None = None
    for start, cells in _read_cells(path):
        if header is None:
            if isinstance(cells, RowError):
                remedy = "save it as UTF-8" if cells.reason == "not_utf8" else "the file needs a header line"
                raise SourceError(f"{path}:{start}: {cells.detail}; {remedy}")
            header = [name.strip() for name in cells]
            if len(header) == 1 and ";" in header[0] and header[0] not in wanted.values():
                raise SourceError(
                    f"{path}: its cells are separated by semicolons; save it with commas or as .tsv"
                )
            require_columns(path, header, wanted)
        elif isinstance(cells, RowError):
            yield start, cells
        elif len(cells) != len(header):
            yield start, RowError("bad_row", f"{len(cells)} cells where the header has {len(header)}")
        else:
            yield start, dict(zip(header, cells, strict=True))
    if header is None:
        raise SourceError(f"{path}: the file is empty; it needs a header line")


def _read_cells(path: Path) -> Iterator[tuple[int, list[str] | RowError]]:
    """Yield (line on which the row begins, its cells or a row error) of a CSV file, or `.tsv`, blank lines left out.

    Cells may hold line breaks between quotes.
    """
    # The csv module's default limit of 128 KiB is too small for descriptions.
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _TextLines(path)
    reader = csv.reader(lines, delimiter="\t" if file_format(path).table == "tsv" else ",", strict=True)
    first, flushed = True, 0
    while True:
        start, offset = reader.line_num + 1, lines.offset
        lines.row = start, offset
        if offset - flushed > BATCH_BYTES:
            yield start, FLUSH
            flushed = offset
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if lines.truncated and str(error).startswith("unexpected end"):
                break
            # Either the rest of the file was read as one cell, or rows cannot be separated.
            if first and "new-line" in str(error):
                raise SourceError(
                    f"{path}: its lines end in carriage returns alone; save it with line feeds"
                ) from error
            if first or str(error).startswith(("unexpected end", "field larger")):
                raise SourceError(
                    f"{path}:{start}: {error}; is a quote opened here that is never closed?"
                ) from error
            yield start, RowError("bad_row", str(error))
            continue
        if cells:
            first = False
            if _is_storable(cells):
                yield start, cells
            else:
                yield start, RowError("not_utf8", "the row has bytes that are not UTF-8")
    if lines.truncated:
        yield start, truncation(path, start, offset)


class _TextLines:
    """The lines of a file as text; bytes that are not UTF-8 become lone surrogates, which `_is_storable` finds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = read_lines(path)
        # Bytes of the unpacked file that were returned.
        self.offset = 0
        # The line on which the row begins, and the bytes before it.
        self.row = 1, 0
        self.truncated = False

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if isinstance(line, RowError):
            if line.reason == TRUNCATED:
                self.truncated = True
                raise StopIteration
            raise SourceError(f"{self._path}:{number}: {line.detail}")
        self.offset += len(line) + 1
        if self.offset - self.row[1] > MAX_ROW_BYTES:
            raise SourceError(
                f"{self._path}:{self.row[0]}: a row of more than {MAX_ROW_BYTES} bytes; is a quote opened here that is "
                "never closed?"
            )
        return line.decode("utf-8", errors="surrogateescape") + "\n"


def _is_storable(cells: Iterable[str]) -> bool:
    try:
        for cell in cells:
            cell.encode()
    except UnicodeEncodeError:
        return False
    return True
