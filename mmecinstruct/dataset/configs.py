"""The configs and splits that a dataset card declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmecinstruct.dataset.shards import parse_shard_path
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import TASKS

ALL = "all"  # the config of every task together


def card_configs(shards: Sequence[str]) -> list[dict[str, Any]]:
    """Return the YAML `configs` of a dataset card: one per task and one for all, each with its splits.

    Args:
        shards: Paths of shards below the dataset folder; other paths are ignored.
    """
    splits: dict[str, set[str]] = {}
    for path in shards:
        parsed = parse_shard_path(path)
        if parsed is not None:
            splits.setdefault(parsed[0], set()).add(parsed[1])
    tasks = [task for task in TASKS if task in splits]
    present = [split for split in SPLITS if any(split in splits[task] for task in tasks)]
    everything = [
        {"split": split, "path": [_glob(task, split) for task in tasks if split in splits[task]]}
        for split in present
    ]
    configs: list[dict[str, Any]] = [{"config_name": ALL, "default": True, "data_files": everything}]
    for task in tasks:
        files = [{"split": split, "path": _glob(task, split)} for split in SPLITS if split in splits[task]]
        configs.append({"config_name": task, "data_files": files})
    return configs


def _glob(task: str, split: str) -> str:
    # The hyphen is needed: `test*` would match test_ood too.
    return f"{task}/{split}-*.parquet"
