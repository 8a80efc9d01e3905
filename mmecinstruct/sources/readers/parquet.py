"""Read the rows of Parquet files with bounded memory.

A small file may unpack to any size: by compression, by a dictionary whose one long text stands in every row, by texts
that share their beginnings, by lists of a billion elements. So the headers of pages say beforehand how many rows may be
unpacked at once, dictionaries are not expanded, and only rows of an ordinary size become Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.quantities import human
from mmecinstruct.sources.readers.batches import BATCH_BYTES, BATCH_RECORDS, FLUSH, FilePart, RowError
from mmecinstruct.sources.readers.parquet_pages import Page, PagesError, longest_text, read_pages
from mmecinstruct.sources.readers.rows import Row, require_columns
from mmecinstruct.sources.readers.shared_memory import FREE_BYTES, taken_memory
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Memory that the pages of a row group may take while it is read. Each column keeps one page, unpacked; a page that is
# one long text is copied up to `_COPIES` times.
MAX_PAGES_BYTES = 900 * 1000 * 1000
_COPIES = 3
# A column may repeat a long text at almost no bytes of the file, by a dictionary or by shared beginnings: rows with
# texts longer than this are read until they have these bytes in a row group.
_LONG_TEXT = 1024 * 1024
MAX_REPEATED_BYTES = 256 * 1024 * 1024
# Values within the lists of a row group; each takes 8 bytes while they are read.
MAX_VALUES = 64_000_000

_BUFFER_BYTES = 1024 * 1024
# Dictionaries with texts so long that fewer rows could be read at once are not expanded, which takes longer.
_FEW_ROWS = 100
# Values of lists that are read at once.
_BATCH_VALUES = 4_000_000


def read_parquet(
    path: Path, wanted: Mapping[str, str], optional: Iterable[str] = (), part: FilePart | None = None
) -> Iterator[tuple[int, Row | RowError]]:
    """Yield (row number from 1, the wanted columns of a row) of a Parquet file or a part of it, batch by batch.

    Reasons: row_too_long (a row of more than `MAX_LINE_BYTES`, a long text that a row group repeats too often, or a row
    group that cannot be unpacked in bounded memory), not_utf8 (some writers do not check texts), bad_row (a value that
    Python cannot represent, such as a day after the year 9999).

    Args:
        path: The file.
        wanted: Columns by what needs them, a recipe field or a publisher's format.
        optional: Columns that are read where the file has them.
        part: The part of the file to read; None for the whole file.

    Raises:
        SourceError: The file is no Parquet file or lacks a wanted column, or a row group needs more memory than
            `shared_memory` has.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file, path.open("rb") as stream:
            present = file.schema_arrow.names
            require_columns(path, present, wanted)
            columns = sorted({*wanted.values(), *(set(optional) & set(present))})
            number = part.start if part else 0
            for group in _row_groups(file.metadata, part):
                rows = file.metadata.row_group(group).num_rows
                if not rows:
                    continue
                plan = _plan(file, stream, group, columns)
                if plan.refusal is not None:
                    yield from ((number + index, plan.refusal) for index in range(1, rows + 1))
                    number += rows
                    continue
                with taken_memory(plan.needed, f"{path}: row group {group}"):
                    for row in _group_rows(path, group, columns, plan):
                        number += row is not FLUSH
                        yield number, row
                    if plan.needed > FREE_BYTES:
                        # Arrow keeps what it freed, which other processes may now take.
                        pa.default_memory_pool().release_unused()
    # UnicodeDecodeError: a column's name.
    except (pa.ArrowException, PagesError, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not readable as Parquet: {error}; get the file again") from error


def _row_groups(metadata: Any, part: FilePart | None) -> list[int]:
    """Return the numbers of the row groups that begin in a part."""
    chosen, row = [], 0
    for number in range(metadata.num_row_groups):
        if part is None or (part.start <= row and (part.stop is None or row < part.stop)):
            chosen.append(number)
        row += metadata.row_group(number).num_rows
    return chosen


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a row group is read.

    Attributes:
        batch_rows: Rows that are unpacked at once.
        dictionaries: Paths of the columns that are read as dictionaries, as one of their values may be long.
        repeating: Names of the columns that can repeat a long text at almost no bytes of the file.
        needed: Bytes of memory that reading may take beside a batch of rows.
        refusal: Why the row group is not read.
    """

    batch_rows: int = BATCH_RECORDS
    dictionaries: tuple[str, ...] = ()
    repeating: frozenset[str] = frozenset()
    needed: int = 0
    refusal: RowError | None = None


def _plan(file: pq.ParquetFile, stream: BinaryIO, group: int, columns: list[str]) -> _Plan:
    """Return how to read a row group: no batch of its rows takes much more than `BATCH_BYTES`."""
    metadata = file.metadata.row_group(group)
    rows, batch_rows = metadata.num_rows, BATCH_RECORDS
    held = largest = 0
    dictionaries = []
    repeating = set()
    for index in range(metadata.num_columns):
        chunk = metadata.column(index)
        name = chunk.path_in_schema.partition(".")[0]
        if name not in columns:
            continue
        column = file.schema.column(index)
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
            start = min(start, chunk.dictionary_page_offset)
        pages = list(read_pages(stream, start, chunk.total_compressed_size))
        size = max((page.size for page in pages), default=0)
        held += size
        values = sum(page.values for page in pages if not page.is_dictionary)
        if column.max_repetition_level:
            if values > MAX_VALUES:
                detail = f"the row group's lists in '{name}' have {values:,} values, at most {MAX_VALUES:,}"
                return _Plan(refusal=RowError("row_too_long", detail))
            batch_rows = min(batch_rows, max(1, rows * _BATCH_VALUES // max(1, values)))
        for page in pages:
            if not page.is_dictionary and page.size:
                batch_rows = min(batch_rows, max(1, BATCH_BYTES * max(1, page.values) // page.size))
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            batch_rows = min(batch_rows, max(1, BATCH_BYTES // max(1, column.length)))
        if column.physical_type == "BYTE_ARRAY":
            largest = max(largest, size)
            shared = sum(page.size for page in pages if page.shares_prefixes)
            batch_rows = min(batch_rows, max(1, BATCH_BYTES // max(1, shared)))
            if shared > _LONG_TEXT:
                repeating.add(name)
            for page in pages:
                if page.is_dictionary:
                    at_once = BATCH_BYTES // max(1, _longest(stream, page, chunk.compression))
                    if at_once < _FEW_ROWS:
                        dictionaries.append(chunk.path_in_schema)
                        repeating.add(name)
                    else:
                        batch_rows = min(batch_rows, at_once)
    needed = held + _COPIES * largest
    if needed > MAX_PAGES_BYTES:
        detail = f"the pages of its row group may take {human(needed)} of memory, at most {human(MAX_PAGES_BYTES)}; "
        return _Plan(refusal=RowError("row_too_long", detail + "write the file with smaller row groups"))
    return _Plan(batch_rows, tuple(dictionaries), frozenset(repeating), needed)


def _longest(stream: BinaryIO, page: Page, codec: str) -> int:
    """Return the bytes that one text of a dictionary may have at most."""
    if page.size > BATCH_BYTES:
        return page.size
    longest = longest_text(stream, page, codec)
    return page.size if longest is None else longest


def _group_rows(path: Path, group: int, columns: list[str], plan: _Plan) -> Iterator[Row | RowError]:
    import pyarrow.parquet as pq

    options: dict[str, Any] = {"read_dictionary": list(plan.dictionaries)} if plan.dictionaries else {}
    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, **options) as file:
        waiting = repeated = 0
        for batch in file.iter_batches(plan.batch_rows, row_groups=[group], columns=columns):
            sizes, refused, repeated = _measure(batch, plan.repeating, repeated)
            for start, stop in _slices(sizes, refused):
                if refused[start] is not None:
                    yield refused[start]  # type: ignore[misc]
                    continue
                yield from _rows(_expanded(batch.slice(start, stop - start)))
                waiting += int(sizes[start:stop].sum())
                if waiting > BATCH_BYTES:
                    yield FLUSH
                    waiting = 0


def _measure(
    batch: pa.RecordBatch, repeating: Collection[str], repeated: int
) -> tuple[NDArray[np.int64], list[RowError | None], int]:
    """Return the bytes of each row, why a row is refused, and the bytes of repeated long texts so far."""
    sizes = np.zeros(batch.num_rows, np.int64)
    refused: list[RowError | None] = [None] * batch.num_rows
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        cells = _cell_bytes(column)
        sizes += cells
        for index in np.flatnonzero(cells > MAX_LINE_BYTES).tolist():
            detail = f"'{name}' has {human(int(cells[index]))}, at most {human(MAX_LINE_BYTES)}"
            refused[index] = refused[index] or RowError("row_too_long", detail)
        for index in np.flatnonzero(cells > _LONG_TEXT).tolist() if name in repeating else ():
            if refused[index] is None and repeated + cells[index] > MAX_REPEATED_BYTES:
                detail = f"the long texts in '{name}' unpack to more than {human(MAX_REPEATED_BYTES)} in its row group"
                refused[index] = RowError("row_too_long", detail)
            elif refused[index] is None:
                repeated += int(cells[index])
    for index in np.flatnonzero(sizes > MAX_LINE_BYTES).tolist():
        detail = f"the row has {human(int(sizes[index]))}, at most {human(MAX_LINE_BYTES)}"
        refused[index] = refused[index] or RowError("row_too_long", detail)
    return sizes, refused, repeated


_ELEMENT_BYTES = 8  # of a number, and of a place in a list


def _cell_bytes(array: pa.Array) -> NDArray[np.int64]:
    """Return the bytes of each cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        sizes = _cell_bytes(array.dictionary)
        places = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False)
        return sizes[places] if len(sizes) else np.zeros(len(array), np.int64)
    if _is_text(kind):
        return pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_struct(kind):
        parts = [_cell_bytes(array.field(index)) for index in range(kind.num_fields)]
        return sum(parts, np.zeros(len(array), np.int64))
    if _is_list(kind):
        counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        sums = np.concatenate([[0], np.cumsum(_cell_bytes(array.flatten()) + _ELEMENT_BYTES)])
        return sums[bounds[1:]] - sums[bounds[:-1]]
    return np.full(len(array), _ELEMENT_BYTES, np.int64)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _slices(sizes: NDArray[np.int64], refused: list[RowError | None]) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows that become Python objects at once: refused rows alone, others up to `BATCH_BYTES`."""
    if sizes.sum() <= BATCH_BYTES and not any(refused):
        yield 0, len(sizes)
        return
    start = held = 0
    for index, size in enumerate(sizes.tolist()):
        if index > start and (refused[index] is not None or held + size > BATCH_BYTES):
            yield start, index
            start, held = index, 0
        if refused[index] is not None:
            yield index, index + 1
            start = index + 1
        else:
            held += size
    if start < len(sizes):
        yield start, len(sizes)


def _expanded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows of an ordinary size with their flat dictionaries expanded, which makes Python objects faster."""
    import pyarrow as pa

    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


# A text that is not UTF-8 raises UnicodeDecodeError, which is a ValueError.
_UNREADABLE = (ValueError, OverflowError)


def _rows(batch: pa.RecordBatch) -> Iterable[Row | RowError]:
    try:
        rows: list[Row | RowError] = batch.to_pylist()
        return rows
    except _UNREADABLE:
        return [_row(batch, index) for index in range(batch.num_rows)]


def _row(batch: pa.RecordBatch, index: int) -> Row | RowError:
    try:
        row: Row = batch.slice(index, 1).to_pylist()[0]
        return row
    except _UNREADABLE as error:
        reason = "not_utf8" if isinstance(error, UnicodeDecodeError) else "bad_row"
        return RowError(reason, str(error))
