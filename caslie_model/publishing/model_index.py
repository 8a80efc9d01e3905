"""Figures of an evaluation for the card on the Hub: of this model, of whole splits, and in its usual setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG, adapter_weights
from caslie_model.config.presets import load_config
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.public_names import public_name
from mmecinstruct.core.hashing import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def model_index(folder: Path, trained: TrainingConfig | None, evaluation: Path) -> list[EvalResult]:
    """Return the figures for the Hub's model-index, of an evaluation of the adapter in `folder`.

    Args:
        folder: The adapter folder.
        trained: The adapter's own config; None for a folder that is no adapter.
        evaluation: A folder of `evaluate`.

    Returns:
        One entry for each metric, task and split.

    Raises:
        ModelError: If the evaluation is of another model, of a part of the samples, or of other images or instructions.
    """
    from huggingface_hub import EvalResult

    if trained is None:
        raise ModelError(
            f"evaluation={evaluation}: figures are of adapters, and {folder} is a whole model; give --evaluation "
            "when pushing the adapter, or write the figures into its card"
        )
    try:
        metrics = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
        # The key in evaluations of earlier versions.
        weights = (metrics.get("provenance") or metrics["identity"])["adapter_sha256"]
        whole = [result for result in metrics["results"] if result["part"] == "all"]
        asked = load_config(EvaluateConfig, evaluation / CONFIG)
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"evaluation={evaluation}: no evaluation: {error}") from error
    there = adapter_weights(folder)
    if there is None or weights != sha256_file(there):
        raise ModelError(f"evaluation={evaluation} is of another model than {folder}; evaluate this one")
    _check_whole(asked, trained, evaluation)
    data = metrics.get("public_data") or public_name(metrics["data"])
    return [
        EvalResult(
            task_type="text-generation",
            task_name=result["task"].replace("_", " "),
            dataset_type=data,
            dataset_name=data,
            dataset_config=result["task"],
            dataset_split=result["split"],
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for result in whole
        for metric, value in {result["metric"]: result["primary"], "accuracy": result["accuracy"]}.items()
    ]


def _check_whole(asked: EvaluateConfig, trained: TrainingConfig, evaluation: Path) -> None:
    """Raise ModelError when readers would take the figures for others than they are.

    A card has no field for the choice of samples, and other cards show figures of whole splits.
    """
    quantise = trained.quantise if asked.quantise is None else asked.quantise
    parts = [
        *([f"limit={asked.limit}"] if asked.limit is not None else []),
        *([f"subset={asked.subset}"] if asked.subset != "all" else []),
    ]
    others = [
        *([f"images={asked.images}"] if asked.images != "own" else []),
        *([f"instruction={asked.instruction}"] if asked.instruction == "unseen" else []),
        *([f"shots={asked.shots}"] if asked.shots else []),
        *([f"quantise={quantise}, trained with {trained.quantise}"] if quantise != trained.quantise else []),
    ]
    if others:
        raise ModelError(
            f"evaluation={evaluation}: its figures are of {'; '.join([*others, *parts])}, and would be read as those "
            "of the model as it is; evaluate without these settings, into another folder"
        )
    if parts:
        raise ModelError(
            f"evaluation={evaluation}: its figures are of a part of the samples ({', '.join(parts)}), and would be "
            "read as those of the whole; evaluate again into the same folder without it: what is answered is kept"
        )
