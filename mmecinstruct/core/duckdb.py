"""Open DuckDB connections with a memory limit, create views over Parquet files, write queries as Parquet."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.disk_errors import remedy
from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.parquet import ROW_GROUP_ROWS

if TYPE_CHECKING:
    import duckdb


# Share of the disk's free space that queries may fill by default.
SPILL_SHARE = 0.8


@dataclass(frozen=True)
class Budget:
    """The resources of the queries of one work item. They change no byte of the results.

    Attributes:
        memory: Bytes of memory.
        threads: Number of threads.
        spill: Bytes of disk for what memory cannot hold; None is SPILL_SHARE of the free space at the start.
    """

    memory: int = 2_000_000_000
    threads: int = 1
    spill: int | None = None


DEFAULT_BUDGET = Budget()


def write_query(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    schema: pa.Schema,
    path: Path,
    group: int = ROW_GROUP_ROWS,
) -> int:
    """Write the rows of a SELECT as Parquet, a row group at a time.

    The same rows give the same bytes, whatever the batches of the query. Without rows no file is written.

    Args:
        connection: The connection that runs the query.
        sql: The SELECT; its columns are matched with the schema by name.
        schema: The schema of the file.
        path: The file.
        group: Rows per row group.

    Returns:
        The number of rows.
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


def connect(memory_limit: str = "2GB", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB connection that keeps row order and never uses the network.

    It spills nothing to disk unless the caller sets temp_directory: DuckDB's default is `.tmp` in the working folder.

    Args:
        memory_limit: DuckDB's memory_limit, as in `2GB`.
        threads: Number of threads.
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
    # DuckDB's bar would mix with the lines of the progress display.
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def working_connection(folder: Path, budget: Budget = DEFAULT_BUDGET) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection for one work item; queries that exceed memory spill beside its folder.

    Args:
        folder: The folder of the work item's output.
        budget: The resources of its queries.

    Raises:
        WorkspaceError: Memory or disk do not suffice, or the queries would spill more than the budget allows.
        KeyboardInterrupt: The user interrupted a query; DuckDB reports that as an error of its own.
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
                f"that it may spill to {folder.parent}; free disk space and allow it more there "
                "(--set resources.spill=200GB), or give the recipe more memory (--set resources.memory=8GB), and run "
                "again: finished work items are kept"
            ) from error
        if "Too many open files" in str(error):
            raise WorkspaceError(
                f"DuckDB: {error}; {remedy(OSError(errno.EMFILE, ''))}, and run again: finished work items are kept"
            ) from error
        raise WorkspaceError(
            f"DuckDB lacks memory or disk: {error}; free disk space, or give the recipe more memory "
            "(--set resources.memory=8GB), and run again: finished work items are kept"
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
    """Create a view over Parquet files, in order, with the columns `file_index` and `row_index` of each row.

    Args:
        connection: The connection that gets the view.
        name: The name of the view.
        paths: The files. Without files the view is empty and has the schema's columns.
        schema: The schema of the files.
    """
    if not paths:
        empty = schema.append(pa.field("file_index", pa.int64())).append(pa.field("row_index", pa.int64()))
        connection.register(name, empty.empty_table())
        return
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename, file_row_number), "
        f"list_position([{files}], filename) AS file_index, file_row_number AS row_index "
        # Without this a folder such as `category=old` in the workspace's path would become a column.
        f"FROM read_parquet([{files}], filename = true, file_row_number = true, hive_partitioning = false)"
    )


def query(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> pa.Table:
    """Run a SELECT and return its rows in the given schema, columns matched by name.

    Raises:
        pyarrow.ArrowInvalid: A value does not fit the schema.
    """
    table = connection.sql(sql).to_arrow_table()
    return table.select(schema.names).cast(schema)
