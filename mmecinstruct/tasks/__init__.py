"""The seven tasks: each a module with its rules in the docstring and `build`, which turns tables into samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mmecinstruct.recipe import TaskSettings
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

if TYPE_CHECKING:
    import duckdb

__all__ = ["BUILDERS", "REQUIRES", "TaskOutput", "build_task", "missing_tables"]

BUILDERS: dict[str, Callable[[duckdb.DuckDBPyConnection, TaskSettings, int], TaskOutput]] = {
    answerability_prediction.TASK: answerability_prediction.build,
    category_classification.TASK: category_classification.build,
    product_relation_prediction.TASK: product_relation_prediction.build,
    product_substitute_identification.TASK: product_substitute_identification.build,
    multiclass_product_classification.TASK: multiclass_product_classification.build,
    sentiment_analysis.TASK: sentiment_analysis.build,
    sequential_recommendation.TASK: sequential_recommendation.build,
}

# The tables that a task is made from; it cannot be built where one of them is empty.
REQUIRES: dict[str, tuple[str, ...]] = {
    answerability_prediction.TASK: answerability_prediction.REQUIRES,
    category_classification.TASK: category_classification.REQUIRES,
    product_relation_prediction.TASK: product_relation_prediction.REQUIRES,
    product_substitute_identification.TASK: product_substitute_identification.REQUIRES,
    multiclass_product_classification.TASK: multiclass_product_classification.REQUIRES,
    sentiment_analysis.TASK: sentiment_analysis.REQUIRES,
    sequential_recommendation.TASK: sequential_recommendation.REQUIRES,
}


def build_task(
    name: str,
    connection: duckdb.DuckDBPyConnection,
    settings: TaskSettings,
    seed: int,
    *,
    sampled: bool = False,
) -> TaskOutput:
    """Build a task's samples from the views products, reviews, relations, judgements and questions.

    The views hold curated rows (schemas in `tables`, products with CURATED_PRODUCTS); a view may be
    empty. The same rows in any order give the same output. Leaves no table behind on the connection.

    sampled: the tables are a part of larger ones, and two more views say which: `drawn` (one: the products that CC asks
    about; one and two: the users and categories that SR is made of) and `core` (user_id, product_id: the users whose
    reviews are all there, and their part of the k-core of all).
    """
    if sampled and name == category_classification.TASK:
        return category_classification.build(connection, settings, seed, drawn="drawn")
    if sampled and name == sequential_recommendation.TASK:
        return sequential_recommendation.build(connection, settings, seed, drawn="drawn", core="core")
    return BUILDERS[name](connection, settings, seed)


def missing_tables(task: str, counts: Mapping[str, int]) -> list[str]:
    """Return the tables that the task needs and that have no rows. counts: rows per table."""
    return [table for table in REQUIRES[task] if not counts.get(table)]
