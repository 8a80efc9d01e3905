"""Count the samples that an evaluation would answer. No model is loaded, nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import Any

from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
from caslie_model.evaluation import evaluate
from caslie_model.inference import run
from caslie_model.inference.prediction_log import read_records
from caslie_model.inference.select_samples import select_samples


def estimate_evaluation(config: PredictConfig, overwrite: bool = False) -> dict[str, Any]:
    """Return how many samples an evaluation or a prediction would answer.

    Args:
        config: The settings of the evaluation.
        overwrite: Whether earlier predictions would be forgotten.

    Returns:
        `samples`, those `answered` already in `config.out`, and of each task and split (`parts`) the same. Whether the
        earlier answers are of the same model and settings is not checked.

    Raises:
        OutputError: `config.out` is another command's folder, or a file.
        DatasetError: There is no such dataset, or it has no such samples.
    """
    if isinstance(config, EvaluateConfig):
        evaluate.check_folder(config)
    else:
        run.check_folder(config)
    samples = select_samples(config).samples
    answered = {name for name, variant in read_records(config.out) if not variant and not overwrite}
    found = Counter((sample.task, sample.split) for sample in samples)
    done = Counter((sample.task, sample.split) for sample in samples if sample.id in answered)
    parts = [
        {"task": task, "split": split, "samples": count, "answered": done[task, split]}
        for (task, split), count in found.items()
    ]
    return {"samples": len(samples), "answered": done.total(), "parts": parts}


def estimate_table(estimate: dict[str, Any]) -> str:
    """Return the estimate as a table."""
    rows = [*estimate["parts"], {"task": "all", "split": "", **estimate}]
    width = max(len(row["task"]) for row in rows)
    lines = [f"{'task':<{width}}  {'split':<10}  {'samples':>8}  {'answered':>8}"]
    lines += [
        f"{row['task']:<{width}}  {row['split']:<10}  {row['samples']:>8,}  {row['answered']:>8,}"
        for row in rows
    ]
    return "\n".join(lines)
