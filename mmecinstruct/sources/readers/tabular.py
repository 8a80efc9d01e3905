"""Read the rows of CSV, JSON-lines and Parquet files as dictionaries, within bounds and with their numbers.

The number of a CSV row is the line on which it begins, as an editor counts lines; that of a Parquet row is its
position from 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import BATCH_RECORDS, TRUNCATED, FilePart, RowError
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES, read_lines, starts_with, truncation

Row = dict[str, Any]


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


def require_columns(path: Path, present: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Check that a table has the columns that are read.

    Args:
        path: The file, for the message.
        present: The columns of the table.
        wanted: Columns by what needs them, a recipe field or a publisher's format.

    Raises:
        SourceError: A column is missing or occurs twice; the message names the file, the column and what needs it.
    """
    for field, column in wanted.items():
        if column not in present:
            there = ", ".join(present[:50]) or "none"
            raise SourceError(
                f"{path}: there is no column '{column}' ({field}). Columns that there are: {there}"
            )
        if present.count(column) > 1:
            raise SourceError(f"{path}: there are several columns '{column}' ({field}); rename all but one")


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
    first = True
    while True:
        start, offset = reader.line_num + 1, lines.offset
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
        return line.decode("utf-8", errors="surrogateescape") + "\n"


def _is_storable(cells: Iterable[str]) -> bool:
    try:
        for cell in cells:
            cell.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- Parquet -----------------------------------------------------------------------------------------


def read_parquet(
    path: Path, wanted: Mapping[str, str], optional: Iterable[str] = (), part: FilePart | None = None
) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (row number from 1, the wanted columns of a row) of a Parquet file or a part of it, batch by batch.

    Reasons: not_utf8 (some writers do not check texts), bad_row (a value that Python cannot represent, such as a day
    after the year 9999).

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.
        optional: Columns that are read where the file has them.
        part: The part of the file to read; None for the whole file.

    Raises:
        SourceError: The file is no Parquet file or lacks a wanted column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            require_columns(path, present, wanted)
            columns = sorted({*wanted.values(), *(set(optional) & set(present))})
            number = part.start if part else 0
            groups = _row_groups(file.metadata, part)
            for batch in file.iter_batches(BATCH_RECORDS, row_groups=groups, columns=columns):
                for row in _rows(batch):
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last for a column's name
        raise SourceError(f"{path}: not readable as Parquet: {error}; get the file again") from error


def _row_groups(metadata: Any, part: FilePart | None) -> list[int]:
    """Return the numbers of the row groups that begin in a part."""
    chosen, row = [], 0
    for number in range(metadata.num_row_groups):
        if part is None or (part.start <= row and (part.stop is None or row < part.stop)):
            chosen.append(number)
        row += metadata.row_group(number).num_rows
    return chosen


# A text that is not UTF-8 raises UnicodeDecodeError, which is a ValueError.
_UNREADABLE = (ValueError, OverflowError)


def _rows(batch: Any) -> Iterable[Row | RowError]:
    try:
        rows: list[Row | RowError] = batch.to_pylist()
        return rows
    except _UNREADABLE:
        return [_row(batch, index) for index in range(batch.num_rows)]


def _row(batch: Any, index: int) -> Row | RowError:
    try:
        row: Row = batch.slice(index, 1).to_pylist()[0]
        return row
    except _UNREADABLE as error:
        reason = "not_utf8" if isinstance(error, UnicodeDecodeError) else "bad_row"
        return RowError(reason, str(error))
