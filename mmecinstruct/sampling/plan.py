"""What sampling is asked for, and the files in which it says what it drew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.recipe import SamplingSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import Record

# What was sampled for which task: one and two name the record (`Sampling.one` and `Sampling.two` say what they are).
DRAWN = pa.schema([(name, pa.string()) for name in ("task", "split", "one", "two")])
# The drawn users' part of the k-core of all interactions.
CORE = pa.schema([("user_id", pa.string()), ("product_id", pa.string())])

DRAWN_FILE, CORE_FILE = "drawn.parquet", "core.parquet"


@dataclass(frozen=True)
class SamplingPlan:
    """The parts of a recipe that decide what is drawn. tasks: settings and scaled sizes of every task."""

    sampling: SamplingSettings
    split: SplitSettings
    tasks: Mapping[str, tuple[TaskSettings, Sizes]]
    seed: int
    taken_down: frozenset[str] = frozenset()


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
