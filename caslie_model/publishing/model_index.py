"""Figures of an evaluation for the Hub: of this model, of whole splits, and in its usual setting.

The Hub shows those in `.eval_results/*.yaml` beside a model and on the dataset's leaderboard; the card's model-index is
their older form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG, adapter_weights
from caslie_model.config.presets import load_config
from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.names import is_hub_name
from caslie_model.hub.public_names import public_name
from mmecinstruct.core.hashing import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

RESULTS_FOLDER = ".eval_results/"


@dataclass(frozen=True)
class Figures:
    """Figures that can be published.

    Attributes:
        data: Public name of the dataset.
        rows: Rows of metrics.json for whole splits.
        setting: How the model was asked, in words.
        day: When it was scored, as YYYY-MM-DD.
    """

    data: str
    rows: tuple[dict[str, Any], ...]
    setting: str
    day: str


def read_figures(folder: Path, trained: TrainingConfig | None, evaluation: Path) -> Figures:
    """Return the figures of an evaluation of the adapter in `folder`.

    Args:
        folder: The adapter folder.
        trained: The adapter's own config; None for a folder that is no adapter.
        evaluation: A folder of `evaluate`.

    Returns:
        The figures.

    Raises:
        ModelError: If the evaluation is of another model, of a part of the samples, or of other images or instructions.
    """
    if trained is None:
        raise ModelError(
            f"evaluation={evaluation}: figures are of adapters, and {folder} is a whole model; give --evaluation "
            "when pushing the adapter, or write the figures into its card"
        )
    file = evaluation / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        # The key in evaluations of earlier versions.
        provenance = metrics.get("provenance") or metrics["identity"]
        whole = tuple(result for result in metrics["results"] if result["part"] == "all")
        asked = load_config(EvaluateConfig, evaluation / CONFIG)
        data = metrics.get("public_data") or public_name(metrics["data"])
        day = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"evaluation={evaluation}: no evaluation: {error}") from error
    there = adapter_weights(folder)
    if there is None or provenance.get("adapter_sha256") != sha256_file(there):
        raise ModelError(f"evaluation={evaluation} is of another model than {folder}; evaluate this one")
    _check_whole(asked, provenance, trained, evaluation)
    setting = f"{provenance.get('scoring', 'generate')}, answers as {provenance.get('answers', 'text')}"
    return Figures(data, whole, setting, day)


def model_index(figures: Figures) -> list[EvalResult]:
    """Return figures for the card's model-index.

    Args:
        figures: The figures.

    Returns:
        One entry for each metric, task and split.
    """
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-generation",
            task_name=result["task"].replace("_", " "),
            dataset_type=figures.data,
            dataset_name=figures.data,
            dataset_config=result["task"],
            dataset_split=result["split"],
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for result in figures.rows
        for metric, value in {result["metric"]: result["primary"], "accuracy": result["accuracy"]}.items()
    ]


def eval_results(figures: Figures) -> dict[str, bytes]:
    """Return the file of figures that the Hub shows: each task's own metric, as the task `<task>_<split>`.

    Args:
        figures: The figures.

    Returns:
        Content by path in the repository; nothing for a dataset that is not on the Hub, to which figures must point.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if not is_hub_name(figures.data):
        return {}
    entries = [
        EvalResultEntry(
            dataset_id=figures.data,
            task_id=f"{result['task']}_{result['split']}",
            value=round(result["primary"], 4),
            date=figures.day,
            notes=f"{result['metric']}, {figures.setting}",
        )
        for result in figures.rows
    ]
    content = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
    return {f"{RESULTS_FOLDER}{figures.data.partition('/')[2]}.yaml": content.encode()}


def _check_whole(
    asked: EvaluateConfig, provenance: Mapping[str, Any], trained: TrainingConfig, evaluation: Path
) -> None:
    """Raise ModelError when readers would take the figures for others than they are.

    A card has no field for the choice of samples, and other cards show figures of whole splits.
    """
    # Settings of the run that answered, where only its predictions were scored here.
    images = asked.images if asked.images != "own" else provenance.get("images", "own")
    instruction = "unseen" if asked.instruction == "unseen" else provenance.get("instruction", "seen")
    shots = asked.shots or provenance.get("shots", 0)
    quantise = trained.quantise if asked.quantise is None else asked.quantise
    parts = [
        *([f"limit={asked.limit}"] if asked.limit is not None else []),
        *([f"subset={asked.subset}"] if asked.subset != "all" else []),
    ]
    others = [
        *([f"images={images}"] if images != "own" else []),
        *([f"instruction={instruction}"] if instruction != "seen" else []),
        *([f"shots={shots}"] if shots else []),
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
