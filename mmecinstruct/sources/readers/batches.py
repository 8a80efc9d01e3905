"""Batches of parsed records: tables, rejections and record counts.

A record is what a publisher counts: a line, a row. Each record is kept or has exactly one rejection. A kept record
may become several rows (a product and its relations).
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.schemas.rejections import DETAIL_LENGTH, Rejection, cut_detail
from mmecinstruct.schemas.tables import RAW_TABLES

STAGE = "parse"
BATCH_RECORDS = 5_000
# Bytes of raw records after which a batch ends, however few they are.
BATCH_BYTES = 16 * 1024 * 1024
# Blocks of a file; each may end a line of the largest size.
BATCH_LISTS = 100
# Longer ids are cut in rejections.
ID_LENGTH = 1_000
# The reason for the record at which an archive breaks off.
TRUNCATED = "truncated_archive"

Record = TypeVar("Record")
TableBuilder = Callable[[list[tuple[Any, ...]], pa.StringArray], pa.Table]

# A value of the wrong type may be huge, or nested deeper than `repr` can follow.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = DETAIL_LENGTH
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """Return a raw value for a rejection's detail: its Python repr, shortened."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number with thousands of digits
        return f"a number of {type(value).__name__} too long to write"


@dataclass(frozen=True, slots=True)
class FilePart:
    """The lines of a file that begin at byte `start` or later and before byte `stop`.

    Bytes are counted in the uncompressed file. For a Parquet file, rows are counted instead of bytes and lines, and
    parts are cut between row groups.

    Attributes:
        start: The first byte, or row.
        stop: The byte or row before which the part ends; None for the end of the file.
        lines_before: The number of lines before the part, which then begins exactly at `start`. None where the reader
            has to find the first line and its number.
    """

    start: int
    stop: int | None
    lines_before: int | None = None


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of a source, or a part of it.

    Attributes:
        role: The file's role in its source (`metadata`, `examples`, …).
        path: The path on this machine.
        origin: The path below the data root with `/` between its parts, the same on every machine; rejections name it.
        part: The part of the file to read; None for the whole file.
    """

    role: str
    path: Path
    origin: str
    part: FilePart | None = None


class Unread(NamedTuple):
    """Cells that a record lost though it was kept: how many, and where one of them is, with its value."""

    cells: int
    example: str
    origin: str


class Rows(dict[str, list[tuple[Any, ...]]]):
    """The rows of records by table, in the order of its schema, and the cells that could not be read.

    Attributes:
        unread: Values by the kind of the cell, such as `times`, each with its line.
    """

    def __init__(self, tables: Iterable[str]) -> None:
        """Create tables without rows."""
        super().__init__({name: [] for name in tables})
        self.unread: dict[str, list[tuple[object, int]]] = {}

    def lost(self, kind: str, value: object, number: int) -> None:
        """Note a cell whose value is not in the record's row."""
        self.unread.setdefault(kind, []).append((value, number))


class RowError(NamedTuple):
    """Why a record is rejected; its file and line are added later."""

    reason: str
    detail: str
    record_id: str = ""


# No record: a reader says by it that the records so far fill `BATCH_BYTES`.
FLUSH = RowError("flush", "")


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The rows of at most `BATCH_RECORDS` records.

    Attributes:
        tables: Tables by name, each with its schema of `RAW_TABLES`.
        rejections: The rejections of the records that are not kept.
        records: The number of records.
        kept: The number of records that are kept.
        lines: Of each kept record its line or row, in the order of the tables.
        unread: Cells of kept records that could not be read, by their kind.
    """

    tables: dict[str, pa.Table]
    rejections: list[Rejection]
    records: int
    kept: int
    lines: Sequence[int] = ()
    unread: Mapping[str, Unread] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.records != self.kept + len(self.rejections):
            raise AssertionError(
                f"{self.records} records, but {self.kept} kept and {len(self.rejections)} rejected"
            )


def parse_records(
    records: Iterable[tuple[int, Record | RowError]],
    parse: Callable[[Record, int, Rows], RowError | None],
    tables: tuple[str, ...],
    origin: str,
    builders: Mapping[str, TableBuilder] | None = None,
) -> Iterator[ParsedBatch]:
    """Parse records into batches.

    Args:
        records: Pairs of a line or row number and a record, or a row error where the reader could not make a record.
        parse: Called with (record, number, rows). Appends the record's rows (tuples in the order of the schema, without
            the origin) and returns None, or appends nothing and returns a row error.
        tables: The names of the tables that `parse` appends to.
        origin: The file's origin, for the rejections.
        builders: Functions that make a table from its rows and their origins, for tables whose tuples are not in the
            order of the schema.

    Yields:
        Batches of at most `BATCH_RECORDS` records; smaller ones where a reader gives `FLUSH`.
    """
    builders = builders or {}
    rows = Rows(tables)
    rejections: list[Rejection] = []
    count = 0
    lines: list[int] = []
    ends: dict[str, list[int]] = {name: [] for name in tables}
    for number, record in records:
        if record is not FLUSH:
            row_error = record if isinstance(record, RowError) else parse(record, number, rows)
            count += 1
            if row_error is None:
                lines.append(number)
                for name, table_rows in rows.items():
                    ends[name].append(len(table_rows))
            else:
                rejections.append(_rejection(row_error, origin, number))
        if count == BATCH_RECORDS or (record is FLUSH and count):
            batch = _batch(rows, rejections, count, builders, lines, ends, origin)
            rows, rejections, lines, count = Rows(tables), [], [], 0
            ends = {name: [] for name in tables}
            yield batch
    if count:
        yield _batch(rows, rejections, count, builders, lines, ends, origin)


def parse_lists(
    lists: Iterable[tuple[Sequence[int], Sequence[Record | RowError]]],
    parse_list: Callable[[Sequence[Record]], tuple[pa.Table, NDArray[np.bool_]]],
    parse: Callable[[Record, int, Rows], RowError | None],
    name: str,
    origin: str,
) -> Iterator[ParsedBatch]:
    """Parse records into batches of one table, most of them many at once; the result is that of `parse_records`.

    Args:
        lists: Pairs of line numbers and records or row errors, aligned.
        parse_list: Returns (the rows of the ordinary records, without the origin; a mask of these records).
        parse: As in `parse_records`, for the other records; one row or a row error for each.
        name: The name of the table.
        origin: The file's origin, for the rejections.

    Yields:
        Batches of at most `BATCH_RECORDS` records.
    """
    for numbers, records in _batches(lists):
        indices = np.arange(len(records))
        if RowError in set(map(type, records)):
            indices = np.array(
                [index for index in indices if not isinstance(records[index], RowError)], np.int64
            )
        lines = [record for record in records if not isinstance(record, RowError)]
        table, plain = parse_list(lines)
        kept = indices[plain].tolist()
        others = np.ones(len(records), dtype=bool)
        others[kept] = False
        rows = Rows((name,))
        rejections: list[Rejection] = []
        for index in np.flatnonzero(others).tolist():
            record = records[index]
            row_error = record if isinstance(record, RowError) else parse(record, numbers[index], rows)
            if row_error is None:
                kept.append(index)
            else:
                rejections.append(_rejection(row_error, origin, numbers[index]))
        if rows[name]:
            table = pa.concat_tables([table, rows_table(name, rows[name])]).take(pa.array(np.argsort(kept)))
        kept.sort()
        lines_kept = numbers if len(kept) == len(numbers) else [numbers[index] for index in kept]
        if "origin" in RAW_TABLES[name].names:
            table = table.append_column("origin", origins(origin, lines_kept))
        unread = _unread(rows, origin)
        yield ParsedBatch({name: table}, rejections, len(records), table.num_rows, lines_kept, unread)


def _batches(
    lists: Iterable[tuple[Sequence[int], Sequence[Record | RowError]]],
) -> Iterator[tuple[list[int], list[Record | RowError]]]:
    """Join and cut lists to batches of BATCH_RECORDS; smaller ones where long records fill `BATCH_LISTS` lists."""
    numbers: list[int] = []
    records: list[Record | RowError] = []
    joined = 0
    for more_numbers, more_records in lists:
        if more_records and more_records[0] is FLUSH:
            joined = BATCH_LISTS
            more_numbers, more_records = (), ()
        numbers += more_numbers
        records += more_records
        joined += 1
        while len(records) >= BATCH_RECORDS or (records and joined >= BATCH_LISTS):
            yield numbers[:BATCH_RECORDS], records[:BATCH_RECORDS]
            del numbers[:BATCH_RECORDS], records[:BATCH_RECORDS]
            joined = 0
    if records:
        yield numbers, records


def _rejection(row_error: RowError, origin: str, number: int) -> Rejection:
    detail = cut_detail(row_error.detail)
    record_id = row_error.record_id[:ID_LENGTH]
    return Rejection(STAGE, row_error.reason, detail, f"{origin}:{number}", record_id)


def _batch(
    rows: Rows,
    rejections: list[Rejection],
    count: int,
    builders: Mapping[str, TableBuilder],
    lines: list[int],
    ends: Mapping[str, list[int]],
    origin: str,
) -> ParsedBatch:
    tables = {}
    for name, table_rows in rows.items():
        repeats = np.diff(np.array([0, *ends[name]], np.int64)).astype(np.int64)
        found = origins(origin, np.repeat(np.array(lines, np.int64), repeats))
        tables[name] = (
            builders[name](table_rows, found) if name in builders else rows_table(name, table_rows, found)
        )
    return ParsedBatch(tables, rejections, count, count - len(rejections), lines, _unread(rows, origin))


def _unread(rows: Rows, origin: str) -> dict[str, Unread]:
    return {
        kind: Unread(len(values), shown(values[0][0]), f"{origin}:{values[0][1]}")
        for kind, values in rows.unread.items()
    }


def origins(origin: str, lines: Sequence[int] | NDArray[np.int64]) -> pa.StringArray:
    """Return the origins of rows: the file's origin with the line of each."""
    return pc.binary_join_element_wise(origin, pa.array(lines, pa.int64()).cast(pa.string()), ":")


def without_origin(schema: pa.Schema) -> pa.Schema:
    """Return a raw table's schema without the column of origins."""
    index = schema.get_field_index("origin")
    return schema if index < 0 else schema.remove(index)


def rows_table(name: str, rows: list[tuple[Any, ...]], found: pa.StringArray | None = None) -> pa.Table:
    """Return a raw table.

    Args:
        name: The table's name in `RAW_TABLES`.
        rows: Tuples in the order of the table's schema, without the origin.
        found: The origins of the rows; without them the table has no such column.
    """
    schema = without_origin(RAW_TABLES[name])
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    return table if found is None or schema is RAW_TABLES[name] else table.append_column("origin", found)
