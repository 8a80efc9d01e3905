"""The seven tasks, in order. Each is a module with its rules in the docstring and all facts about it in `TASK`.

A new task is a module here, a line in `TASKS` below, its templates and its test.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.tasks import (
    answerability_prediction,
    category_classification,
    multiclass_product_classification,
    product_relation_prediction,
    product_substitute_identification,
    sentiment_analysis,
    sequential_recommendation,
)
from mmecinstruct.tasks.output import TaskOutput
from mmecinstruct.tasks.settings import InstructionSettings, Sizes, TaskSettings
from mmecinstruct.tasks.task import AnyTask, Task
from mmecinstruct.text.names import same_categories

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "TASKS",
    "InstructionSettings",
    "Sizes",
    "Task",
    "TaskOutput",
    "TaskSettings",
    "build_task",
    "missing_tables",
    "task_names",
]

# Every list of tasks is read from here when it is needed, so that a test can add a task.
TASKS: dict[str, AnyTask] = {
    task.name: task
    for task in (
        answerability_prediction.TASK,
        category_classification.TASK,
        product_relation_prediction.TASK,
        product_substitute_identification.TASK,
        multiclass_product_classification.TASK,
        sentiment_analysis.TASK,
        sequential_recommendation.TASK,
    )
}


def task_names() -> tuple[str, ...]:
    """Return the full names of all tasks, in order."""
    return tuple(TASKS)


def build_task(
    name: str,
    connection: duckdb.DuckDBPyConnection,
    settings: TaskSettings,
    seed: int,
    *,
    sampled: bool = False,
    ood_categories: Collection[str] = (),
) -> TaskOutput:
    """Build a task's samples from the views products, reviews, relations, judgements and questions.

    The same rows in any order give the same output. Leaves no table behind on the connection.

    Args:
        name: the task's full name.
        connection: with views of curated rows (`CURATED_TABLES`); a view may be empty.
        settings: of the task's own class.
        seed: seed of the hash draws.
        sampled: the tables are part of larger ones, and more views say which part: `sampled_records`, `core` and
            `popularity` (see `Task.build`).
        ood_categories: out-of-domain categories, in any spelling.

    Returns:
        The samples, and a rejection for every other record.
    """
    tops = connection.execute("SELECT DISTINCT category FROM products").fetchall()
    names = sorted(same_categories(ood_categories, [name for (name,) in tops]))
    outside = pa.table({"category": pa.array(names, pa.string())})
    connection.register("ood_categories", outside)
    output = TASKS[name].build(connection, settings, seed, sampled)
    connection.unregister("ood_categories")
    return output


def missing_tables(task: str, counts: Mapping[str, int]) -> list[str]:
    """Return the tables that a task needs and that have no rows.

    Args:
        task: its full name.
        counts: rows of each table; a table that is not named has none.
    """
    return [table for table in TASKS[task].requires if not counts.get(table)]
