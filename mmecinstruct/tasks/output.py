"""The output of a task builder, and how it is read from its working table.

Each builder fills the temporary table `task_records`: one row per unit record with `record_id`, `reason`
(null where a sample is built), `detail` and the columns that its samples need. Reading both parts out of one
table is what makes `records in = samples + rejected` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.duckdb import query
from mmecinstruct.schemas.rejections import DETAIL_LENGTH
from mmecinstruct.schemas.samples import UNRENDERED
from mmecinstruct.schemas.tables import REJECTIONS

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """Everything that became of a task's unit records.

    samples: samples.UNRENDERED, ordered by id. rejections: tables.REJECTIONS, ordered by record_id; the
    stage is the task's name; the build finds the origins. records_in: number of unit records.
    Raises AssertionError where the three do not add up.
    """

    samples: pa.Table
    rejections: pa.Table
    records_in: int

    def __post_init__(self) -> None:
        if self.records_in != self.samples.num_rows + self.rejections.num_rows:
            raise AssertionError(
                f"{self.records_in} records became {self.samples.num_rows} samples"
                f" and {self.rejections.num_rows} rejections"
            )


def create_records(connection: duckdb.DuckDBPyConnection, select: str) -> None:
    """Create `task_records` from a SELECT."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE task_records AS {select}")


def collect(connection: duckdb.DuckDBPyConnection, task: str, origin: str, samples_select: str) -> TaskOutput:
    """Read the output of a task and drop `task_records`.

    origin: the table whose rows are the unit records. samples_select: a SELECT of all columns of
    UNRENDERED but `task`, one row for each record without a reason. Rejections name what `task_records` has of
    product_id (or the pair low, high), query_id and user_id.
    """
    there = {name for name, *_ in connection.execute("DESCRIBE task_records").fetchall()}
    products = "NULL"
    if origin == "products":
        products = "[record_id]"
    elif {"low", "high"} <= there:
        products = "[low, high]"
    elif "product_id" in there:
        products = "CASE WHEN product_id IS NOT NULL THEN [product_id] END"
    query_id, user_id = (name if name in there else "NULL" for name in ("query_id", "user_id"))
    ((counted,),) = connection.execute("SELECT count(*) FROM task_records").fetchall()
    samples = query(connection, f"SELECT '{task}' AS task, * FROM ({samples_select}) ORDER BY id", UNRENDERED)
    rejections = query(
        connection,
        f"""
        SELECT '{task}' AS stage, reason, '' AS origin, record_id, '{task}' AS task, {products} AS product_ids,
               {query_id} AS query_id, nullif({user_id}, '') AS user_id, NULL AS image_url, record_id AS source_id,
               CASE WHEN length(detail) > {DETAIL_LENGTH}
                    THEN left(detail, {DETAIL_LENGTH - 1}) || '…' ELSE detail END AS detail
        FROM task_records WHERE reason IS NOT NULL ORDER BY record_id, reason, detail
        """,
        REJECTIONS,
    )
    connection.execute("DROP TABLE task_records")
    return TaskOutput(samples, rejections, counted)
