"""Read and write intermediate Parquet tables, and show them to DuckDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.errors import WorkspaceError

if TYPE_CHECKING:
    import duckdb


# A row group of a table that may be large: readers hold one at a time, or a column of it.
ROW_GROUP_ROWS = 25_000
PARSED_GROUP_ROWS = 100_000  # most tables are narrow
PARSED_GROUP_BYTES = 16_000_000  # and some have long texts
# Columns of parsed tables whose values stand in many rows. Of the others a dictionary is work for nothing.
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
    ),
    *("rating", "relation", "query_id", "query", "label", "locale", "source_split", "fine_category", "kind"),
    *("stage", "reason"),
]
SPILL_SHARE = 0.8  # of the disk's free space that queries may fill where nothing else is said


@dataclass(frozen=True)
class Budget:
    """What the queries of one shard may use: bytes of memory, threads, bytes of disk for what memory cannot hold.

    spill: None is SPILL_SHARE of what is free when the shard begins. Nothing here changes a byte of the results.
    """

    memory: int = 2_000_000_000
    threads: int = 1
    spill: int | None = None


DEFAULT_BUDGET = Budget()


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table; the same table gives the same bytes."""
    pq.write_table(table, path, compression="zstd", compression_level=3)


def read_tables(paths: Iterable[Path], schema: pa.Schema) -> pa.Table:
    """Return the files' rows one after the other; no file gives an empty table of the schema."""
    tables = [pq.read_table(path, schema=schema) for path in paths]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def write_query(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    schema: pa.Schema,
    path: Path,
    group: int = ROW_GROUP_ROWS,
) -> int:
    """Write a SELECT's rows as Parquet, a row group at a time, columns matched by name; return their number.

    The same rows give the same bytes, however the query hands them over. No row, no file.
    """
    reader = connection.sql(sql).to_arrow_reader(group)
    waiting: list[pa.Table] = []
    rows = held = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in reader:
            table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            waiting.append(table)
            held += table.num_rows
            while held >= group:
                whole = pa.concat_tables(waiting).combine_chunks()
                writer = writer or pq.ParquetWriter(path, schema, compression="zstd", compression_level=3)
                writer.write_table(whole.slice(0, group), row_group_size=group)
                waiting = [whole.slice(group)]
                rows, held = rows + group, held - group
        if held:
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd", compression_level=3)
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), row_group_size=group)
    finally:
        if writer is not None:
            writer.close()
    return rows + held


def read_parts(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's rows in order, at most ROW_GROUP_ROWS at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


class TableWriters:
    """Parquet files of a folder that grow together, a row group at a time: memory holds what no group has yet."""

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
        """Add rows to the file of that name; a file that gets none is not there."""
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


def connect(memory_limit: str = "2GB", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB connection that asks nothing of the network and keeps row order.

    It spills nothing to disk until somebody sets its temp_directory: DuckDB's own is `.tmp` in the working folder.
    """
    import duckdb

    connection = duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("SET enable_progress_bar = false")  # it would write between the lines of ours
    return connection


@contextmanager
def working_connection(folder: Path, budget: Budget = DEFAULT_BUDGET) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection for the work of one shard; what does not fit in memory spills beside its folder.

    Raises WorkspaceError when memory or disk do not suffice, or more would spill than the budget allows;
    KeyboardInterrupt for the error that DuckDB makes of it.
    """
    import duckdb

    spill = folder.with_name(f"{folder.name}.spill")
    most = budget.spill
    if most is None:
        most = int(SPILL_SHARE * shutil.disk_usage(folder.parent).free)
    try:
        with closing(connect(f"{budget.memory}B", budget.threads)) as connection:
            connection.execute("SET temp_directory = '" + str(spill).replace("'", "''") + "'")
            connection.execute(f"SET max_temp_directory_size = '{most}B'")
            yield connection
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        if "max_temp_directory_size" in str(error):
            raise WorkspaceError(
                f"a query needs {budget.memory / 1e6:,.0f} MB of memory and more than the {most / 1e6:,.0f} MB of disk "
                f"that it may spill to {folder.parent}; free some disk and allow it more there "
                "(--set resources.spill=200GB), or give the recipe more memory (--set resources.memory=8GB), and run "
                "again: finished shards are kept"
            ) from error
        raise WorkspaceError(
            f"DuckDB lacks memory or disk: {error}; free some disk, or give the recipe more memory "
            "(--set resources.memory=8GB), and run again: finished shards are kept"
        ) from error
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def create_view(
    connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path], schema: pa.Schema
) -> None:
    """Create a view over Parquet files, in order; columns `file_index` and `row_index` tell the row's place.

    Without files the view is empty and has the schema's columns all the same.
    """
    if not paths:
        empty = schema.append(pa.field("file_index", pa.int64())).append(pa.field("row_index", pa.int64()))
        connection.register(name, empty.empty_table())
        return
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename, file_row_number), "
        f"list_position([{files}], filename) AS file_index, file_row_number AS row_index "
        # Else a folder of the workspace's path such as `category=old` would be taken for a column.
        f"FROM read_parquet([{files}], filename = true, file_row_number = true, hive_partitioning = false)"
    )


def query(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> pa.Table:
    """Run a SELECT and return its rows in the given schema, columns matched by name.

    Raises pyarrow.ArrowInvalid where a value does not fit.
    """
    table = connection.sql(sql).to_arrow_table()
    return table.select(schema.names).cast(schema)
