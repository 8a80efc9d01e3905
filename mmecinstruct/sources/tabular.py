"""Read the rows of CSV and Parquet files as dictionaries, within bounds and with their place.

A CSV row's number is the line on which it begins, as an editor counts it; a Parquet row's is its position
from 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from mmecinstruct.errors import SourceError
from mmecinstruct.sources.batches import BATCH_RECORDS, Refusal
from mmecinstruct.sources.streams import MAX_LINE_BYTES, data_suffix, open_bytes

Row = dict[str, Any]


def require_columns(place: Path, present: Sequence[str], wanted: dict[str, str]) -> None:
    """Check that a table has the columns that are read.

    place: the file. wanted: columns by who wants them, a recipe field or a publisher's format.

    Raises SourceError naming the file, the column, who wants it and the columns that there are.
    """
    for field, column in wanted.items():
        if column not in present:
            there = ", ".join(present[:50]) or "none"
            raise SourceError(
                f"{place}: there is no column '{column}' ({field}). Columns that there are: {there}"
            )
        if present.count(column) > 1:
            raise SourceError(f"{place}: there are several columns '{column}' ({field}); rename all but one")


def read_csv(path: Path, wanted: dict[str, str]) -> Iterator[tuple[int, Row | Refusal]]:
    """Yield (line on which the row begins, row or refusal) of a CSV file with a header, or `.tsv`.

    Cells may hold line breaks between quotes. Reasons: bad_row (too few or too many cells, stray quotes),
    not_utf8.

    Raises SourceError where the header lacks a wanted column or a quote is never closed.
    """
    # The module's own limit, 128 KiB, is below what descriptions may have.
    csv.field_size_limit(MAX_LINE_BYTES)
    with open_bytes(path) as stream:
        delimiter = "\t" if data_suffix(path) == ".tsv" else ","
        reader = csv.reader(_text_lines(stream, path), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                # Either the rest of the file was read as one cell, or there is no telling what a row is.
                if header is None or str(error).startswith(("unexpected end", "field larger")):
                    raise SourceError(
                        f"{path}:{start}: {error}; is a quote opened here that is never closed?"
                    ) from error
                yield start, Refusal("bad_row", str(error))
                continue
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
                require_columns(path, header, wanted)
            elif len(cells) != len(header):
                yield start, Refusal("bad_row", f"{len(cells)} cells where the header has {len(header)}")
            elif not _is_storable(cells):
                yield start, Refusal("not_utf8", "the row has bytes that are not UTF-8")
            else:
                yield start, dict(zip(header, cells, strict=True))
        if header is None:
            raise SourceError(f"{path}: the file is empty; it needs a header line")


def _text_lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    """Yield lines as text; bytes that are not UTF-8 become lone surrogates, which `_is_storable` finds."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise SourceError(f"{path}:{number}: the line has more than {MAX_LINE_BYTES} bytes")
        text = line.decode("utf-8", errors="surrogateescape")
        yield text.removeprefix("\ufeff") if number == 1 else text


def _is_storable(cells: Iterable[str]) -> bool:
    try:
        for cell in cells:
            cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_parquet(path: Path, wanted: dict[str, str]) -> Iterator[tuple[int, Row]]:
    """Yield (row number from 1, the wanted columns of a row) of a Parquet file, batch by batch.

    Raises SourceError where the file is no Parquet file or lacks a wanted column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            require_columns(path, file.schema_arrow.names, wanted)
            number = 0
            for batch in file.iter_batches(BATCH_RECORDS, columns=sorted(set(wanted.values()))):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not readable as Parquet: {error}") from error
