"""Evaluate one baseline, or all that fit a dataset, each into a folder as `evaluate` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caslie_model.baselines.baseline import Baseline
from caslie_model.baselines.known import BASELINES, known_baseline
from caslie_model.config.evaluation import OF_BASELINES, EvaluateConfig
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import available_splits
from caslie_model.evaluation.evaluate import EvaluationResult, evaluate
from caslie_model.runtime.console import say
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.reporting.tables import Column, Row, Table
from mmecinstruct.tasks import TASKS

ALL = "all"


def evaluate_baselines(
    name: str, overrides: Sequence[str] = (), overwrite: bool = False, **fields: Any
) -> dict[str, EvaluationResult]:
    """Evaluate a baseline on the tasks that it can answer; a stopped run goes on when it is started again.

    Args:
        name: Its name; `all` for all that can answer a task of the dataset, each into a folder of its name in `out`.
        overrides: Settings as text, such as `seed=1`.
        overwrite: Whether to forget earlier predictions.
        **fields: Fields of `EvaluateConfig` but `model`.

    Returns:
        The results by name.

    Raises:
        MmecError: If name, data, settings or folder do not allow it; the message has the remedy.
    """
    chosen = list(BASELINES.values()) if name == ALL else [known_baseline(name)]
    configs: dict[str, EvaluateConfig] = {}
    for baseline in chosen:
        config = evaluate_config(overrides, **{**fields, "model": OF_BASELINES + baseline.name})
        tasks = _answered(baseline, config)
        if not tasks:
            why = f"{config.data} has no training samples of {', '.join(baseline.tasks) or 'these tasks'}"
            if name != ALL:
                raise DatasetError(f"{config.model}: {why}")
            say(f"{baseline.name}: left out: {why}")
            continue
        out = config.out / baseline.name if name == ALL else config.out
        configs[baseline.name] = config.model_copy(update={"tasks": tasks, "out": out})
    if not configs:
        raise DatasetError(f"{fields.get('data')} has no task with training samples to fit a baseline to")
    return {each: evaluate(config, overwrite) for each, config in configs.items()}


def _answered(baseline: Baseline, config: EvaluateConfig) -> tuple[str, ...]:
    """Return the tasks that the settings name, the baseline can answer, and the dataset has samples to fit it to."""
    return tuple(
        task
        for task in config.tasks
        if (not baseline.tasks or TASKS[task].short_name in baseline.tasks)
        and "train" in available_splits(config.data, task)
    )


def table_of_baselines() -> Table:
    """Return all baselines with what they do."""
    columns = [
        Column("name", is_text=True),
        Column("tasks", is_text=True),
        Column("what it does", is_text=True),
    ]
    rows = [Row([each.name, ", ".join(each.tasks) or "all", each.what]) for each in BASELINES.values()]
    return Table("Baselines", columns, rows)
