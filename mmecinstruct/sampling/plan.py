"""The sampling plan, and the files that list the sampled records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.recipe import SamplingSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.schemas.samples import TASKS

AP, CC, PRP, PSI, MPC, SA, SR = TASKS

# The sampled records of each task: one and two name the record (see candidates.py).
SAMPLED = pa.schema([(name, pa.string()) for name in ("task", "split", "one", "two")])
# The part of the k-core of all interactions that belongs to sampled users.
CORE = pa.schema([("user_id", pa.string()), ("product_id", pa.string())])

SAMPLED_FILE, CORE_FILE = "drawn.parquet", "core.parquet"


@dataclass(frozen=True)
class SamplingPlan:
    """The parts of a recipe that decide which records are sampled.

    Attributes:
        sampling: Settings of sampling.
        split: Settings of the splits.
        tasks: Settings and scaled sizes of every task.
        seed: The recipe's seed.
        taken_down: Ids of products that no sample may use.
    """

    sampling: SamplingSettings
    split: SplitSettings
    tasks: Mapping[str, tuple[TaskSettings, Sizes]]
    seed: int
    taken_down: frozenset[str] = frozenset()
