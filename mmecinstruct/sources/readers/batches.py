"""What a parser hands on: tables, rejections and the count of records that each came from.

A record is what a publisher counts: a line, a row. Each is kept or has exactly one rejection; a kept record
may become several rows (a product and its relations).
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmecinstruct.schemas.rejections import DETAIL_LENGTH, Rejection
from mmecinstruct.schemas.tables import RAW_TABLES

STAGE = "parse"
BATCH_RECORDS = 5_000
BATCH_LISTS = 100  # blocks of a file; each may end a line that is as long as lines may be
TRUNCATED = "truncated_archive"  # the reason of the record at which an archive breaks off

Record = TypeVar("Record")
Rows = dict[str, list[tuple[Any, ...]]]
TableBuilder = Callable[[list[tuple[Any, ...]]], pa.Table]

# A value of the wrong type may be huge, or nested deeper than `repr` can follow.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = DETAIL_LENGTH
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """Return how a rejection's detail shows a raw value: as Python writes it, shortened."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # of a number with thousands of digits
        return f"a number of {type(value).__name__} too long to write"


@dataclass(frozen=True, slots=True)
class FilePart:
    """The lines of a file that begin at byte `start` or later and before byte `stop` (None: all that follow).

    Bytes are counted in the unpacked file. lines_before: of the file, the lines before the part's, which then begins at
    `start` exactly; None where whoever reads it has to look for both. Of a Parquet file rows take the place of bytes
    and of lines, and cuts lie between row groups.
    """

    start: int
    stop: int | None
    lines_before: int | None = None


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of a source, or a part of it.

    role: what the file is to its source (`metadata`, `examples`, …). origin: the path below the data root
    with `/` between its parts, the same on every machine; rejections name it.
    """

    role: str
    path: Path
    origin: str
    part: FilePart | None = None


class Refusal(NamedTuple):
    """Why a record is not kept, before its place is known."""

    reason: str
    detail: str
    record_id: str = ""


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The rows of at most `BATCH_RECORDS` records: tables by name, each with its schema of `RAW_TABLES`."""

    tables: dict[str, pa.Table]
    rejections: list[Rejection]
    records: int
    kept: int

    def __post_init__(self) -> None:
        if self.records != self.kept + len(self.rejections):
            raise AssertionError(
                f"{self.records} records, but {self.kept} kept and {len(self.rejections)} rejected"
            )


def parse_records(
    records: Iterable[tuple[int, Record | Refusal]],
    parse: Callable[[Record, int, Rows], Refusal | None],
    tables: tuple[str, ...],
    origin: str,
    builders: Mapping[str, TableBuilder] | None = None,
) -> Iterator[ParsedBatch]:
    """Turn records into batches.

    records: (line or row number, record), or a refusal where the reader could not make a record.
    parse: appends a record's rows (tuples in the order of the schema) and returns None, or returns why not
    and appends nothing. tables: what `parse` appends to. origin: of the file, for the rejections.
    builders: what makes a table of its rows, for those whose tuples are not in the order of the schema.
    """
    builders = builders or {}
    rows: Rows = {name: [] for name in tables}
    rejections: list[Rejection] = []
    count = 0
    for number, record in records:
        refusal = record if isinstance(record, Refusal) else parse(record, number, rows)
        count += 1
        if refusal is not None:
            rejections.append(_rejection(refusal, origin, number))
        if count == BATCH_RECORDS:
            batch = _batch(rows, rejections, count, builders)
            rows, rejections, count = {name: [] for name in tables}, [], 0
            yield batch
    if count:
        yield _batch(rows, rejections, count, builders)


def parse_lists(
    lists: Iterable[tuple[Sequence[int], Sequence[Record | Refusal]]],
    parse_list: Callable[[Sequence[Record]], tuple[pa.Table, NDArray[np.bool_]]],
    parse: Callable[[Record, int, Rows], Refusal | None],
    name: str,
    origin: str,
) -> Iterator[ParsedBatch]:
    """Turn records into batches of one table, most of them many at once; the result is that of `parse_records`.

    parse_list: returns the rows of those records that hold nothing out of the ordinary, and which records these are.
    parse: as of `parse_records`; what it does with one of the others is one row or a refusal.
    """
    for numbers, records in _batches(lists):
        places = np.arange(len(records))
        if Refusal in set(map(type, records)):
            places = np.array(
                [place for place in places if not isinstance(records[place], Refusal)], np.int64
            )
        lines = [record for record in records if not isinstance(record, Refusal)]
        table, plain = parse_list(lines)
        kept = places[plain].tolist()
        others = np.ones(len(records), dtype=bool)
        others[kept] = False
        rows: Rows = {name: []}
        rejections: list[Rejection] = []
        for place in np.flatnonzero(others).tolist():
            record = records[place]
            refusal = record if isinstance(record, Refusal) else parse(record, numbers[place], rows)
            if refusal is None:
                kept.append(place)
            else:
                rejections.append(_rejection(refusal, origin, numbers[place]))
        if rows[name]:
            table = pa.concat_tables([table, rows_table(name, rows[name])]).take(pa.array(np.argsort(kept)))
        yield ParsedBatch({name: table}, rejections, len(records), table.num_rows)


def _batches(
    lists: Iterable[tuple[Sequence[int], Sequence[Record | Refusal]]],
) -> Iterator[tuple[list[int], list[Record | Refusal]]]:
    """Join and cut lists to batches of BATCH_RECORDS, less where records are so long that few make a list."""
    numbers: list[int] = []
    records: list[Record | Refusal] = []
    joined = 0
    for more_numbers, more_records in lists:
        numbers += more_numbers
        records += more_records
        joined += 1
        while len(records) >= BATCH_RECORDS or (records and joined >= BATCH_LISTS):
            yield numbers[:BATCH_RECORDS], records[:BATCH_RECORDS]
            del numbers[:BATCH_RECORDS], records[:BATCH_RECORDS]
            joined = 0
    if records:
        yield numbers, records


def _rejection(refusal: Refusal, origin: str, number: int) -> Rejection:
    detail = refusal.detail[:DETAIL_LENGTH]
    return Rejection(STAGE, refusal.reason, detail, f"{origin}:{number}", refusal.record_id)


def _batch(
    rows: Rows, rejections: list[Rejection], count: int, builders: Mapping[str, TableBuilder]
) -> ParsedBatch:
    tables = {
        name: builders[name](table_rows) if name in builders else rows_table(name, table_rows)
        for name, table_rows in rows.items()
    }
    return ParsedBatch(tables, rejections, count, count - len(rejections))


def rows_table(name: str, rows: list[tuple[Any, ...]]) -> pa.Table:
    """Return tuples in the order of a raw table's schema as that table."""
    schema = RAW_TABLES[name]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
