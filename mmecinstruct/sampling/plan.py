"""What sampling is asked for, and the files in which it says what it drew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mmecinstruct.recipe import SamplingSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.schemas.samples import TASKS

AP, CC, PRP, PSI, MPC, SA, SR = TASKS

# What was drawn for which task: one and two name the record (candidates.py says how).
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
