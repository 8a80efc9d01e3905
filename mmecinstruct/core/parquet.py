"""Read and write intermediate Parquet tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

# Rows per row group of a table that may be large: readers hold one at a time, or a column of it.
ROW_GROUP_ROWS = 25_000
# Rows or bytes at which a row group of a parsed table is written: most tables are narrow, some have long texts.
PARSED_GROUP_ROWS = 100_000
PARSED_GROUP_BYTES = 16_000_000
# Columns of parsed tables with repeated values. A dictionary of the other columns would save nothing.
REPEATING = [
    *(
        "source",
        "product_id",
        "product_a",
        "brand",
        "category",
        "category_path.list.element",
        "currency",
        "color",
        "group_id",
    ),
    *("rating", "relation", "query_id", "query", "label", "locale", "source_split", "fine_category", "kind"),
    *("stage", "reason"),
]


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet; the same table gives the same bytes."""
    pq.write_table(table, path, compression="zstd", compression_level=3)


def read_tables(paths: Iterable[Path], schema: pa.Schema) -> pa.Table:
    """Return the rows of all files in order, an empty table of the schema where there is no file."""
    tables = [pq.read_table(path, schema=schema) for path in paths]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read_parts(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's rows in order, at most ROW_GROUP_ROWS at a time; `columns` None reads all columns."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


class TableWriters:
    """Writers of several Parquet files of a folder; memory holds at most one incomplete row group of each.

    Args:
        folder: The folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}

    def __enter__(self) -> TableWriters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for name in sorted(self._waiting):
                self._write(name)
        for writer in self._writers.values():
            writer.close()

    def append(self, table: pa.Table, name: str) -> None:
        """Append rows to the file of that name; a file without rows is not written."""
        if not table.num_rows:
            return
        waiting = self._waiting.setdefault(name, [])
        waiting.append(table)
        if (
            sum(one.num_rows for one in waiting) >= PARSED_GROUP_ROWS
            or sum(one.nbytes for one in waiting) >= PARSED_GROUP_BYTES
        ):
            self._write(name)

    def _write(self, name: str) -> None:
        if not self._waiting[name]:
            return
        table = pa.concat_tables(self._waiting[name])
        self._waiting[name] = []
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(
                self._folder / name, table.schema, compression="zstd", use_dictionary=REPEATING
            )
        self._writers[name].write_table(table, row_group_size=table.num_rows)
