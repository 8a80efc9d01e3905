"""Count the samples that an evaluation would answer. No model is loaded, nothing is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.evaluation.evaluate import check_folder, select_samples
from caslie_model.inference.prediction_log import PREDICTIONS


def estimate_evaluation(config: EvaluateConfig, overwrite: bool = False) -> dict[str, Any]:
    """Return how many samples an evaluation would answer.

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
    check_folder(config)
    samples = select_samples(config)
    answered = set() if overwrite else _answered(config.out / PREDICTIONS)
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


def _answered(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    ids = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            ids.add(json.loads(line)["id"])
        except (ValueError, TypeError, KeyError):
            continue  # a torn line is answered again
    return ids
