"""The sampling plan, and the files that list the sampled records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.curate.settings import WhichCategory
from mmecinstruct.recipe import SamplingSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import Record

# The sampled records of each task: one and two name the record (`Sampling.one` and `Sampling.two` say what they are).
SAMPLED = pa.schema([(name, pa.string()) for name in ("task", "split", "one", "two")])
# The part of the k-core of all interactions that belongs to sampled users.
CORE = pa.schema([("user_id", pa.string()), ("product_id", pa.string())])
# All products of that k-core, with the interactions that count for samples of their category (`create_popularity`).
POPULARITY = pa.schema([("product_id", pa.string()), ("category", pa.string()), ("interactions", pa.int64())])

# The splits of products with relevance judgements, by the judgements of all products and queries.
JUDGED = pa.schema([("product_id", pa.string()), ("split", pa.string())])

SAMPLED_FILE, CORE_FILE, POPULARITY_FILE = "drawn.parquet", "core.parquet", "popularity.parquet"
JUDGED_FILE = "judged.parquet"


@dataclass(frozen=True)
class SamplingPlan:
    """The parts of a recipe that decide which records are sampled.

    Attributes:
        sampling: Settings of sampling.
        split: Settings of the splits.
        tasks: Settings and scaled sizes of every task.
        seed: The recipe's seed.
        taken_down: Ids of products that no sample may use.
        which_category: Which of several categories of a product is its own.
    """

    sampling: SamplingSettings
    split: SplitSettings
    tasks: Mapping[str, tuple[TaskSettings, Sizes]]
    seed: int
    taken_down: frozenset[str] = frozenset()
    which_category: WhichCategory = "deepest"


def tasks_sampled_by(*, one: Record | None = None, two: Record | None = None) -> str:
    """Return an SQL list of the tasks of whose records the first id, or the second one, names such a thing.

    Args:
        one: what the first id names; None for anything.
        two: what the second one names; None for anything.
    """
    names = (
        f"'{name}'"
        for name, task in TASKS.items()
        if one in (None, task.sampling.one) and two in (None, task.sampling.two)
    )
    return f"({', '.join(names)})"
