"""Read what `caslie_model evaluate` wrote: the answers of one model, and which samples it was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.files import CONFIG
from caslie_model.errors import RunError
from caslie_model.evaluation.evaluate import METRICS
from caslie_model.evaluation.records import is_not_finite
from caslie_model.hub.public_names import public_name
from caslie_model.inference.prediction_log import HEADER, PREDICTIONS
from mmecinstruct.core.disk_errors import shown
from mmecinstruct.core.output_folder import made_by
from mmecinstruct.core.yaml_text import read_yaml

# What decides which samples were asked.
_SELECTION = ("tasks", "splits", "limit", "subset", "seed")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a sample as it is published.

    Attributes:
        task: Full name of the sample's task.
        split: Name of its split.
        label: The given label; None for no answer.
        text: The generated text, where there is one.
        target: Fingerprint of the right answer when it was asked; None in folders of earlier versions.
    """

    task: str
    split: str
    label: str | None
    text: str | None
    target: str | None


@dataclass(frozen=True)
class EvaluatedModel:
    """A folder of an evaluation.

    Attributes:
        letter: The name that the comparison gives it: A, B, ….
        folder: The folder.
        model: The model in words.
        selection: Which samples it was asked.
        public_data: Public name of the dataset.
        results: Figures by task and split, for the part "all".
        answers: By id of the sample.
        damaged: Lines of the predictions that could not be read.
    """

    letter: str
    folder: Path
    model: str
    selection: EvaluateConfig
    public_data: str
    results: dict[tuple[str, str], dict[str, Any]]
    answers: dict[str, Answer]
    damaged: int

    def __str__(self) -> str:
        return f"{self.letter} ({shown(self.folder)})"


def read_evaluation(folder: Path, letter: str) -> EvaluatedModel:
    """Return the content of a folder of `evaluate`.

    Args:
        folder: The folder.
        letter: The name that the comparison gives it.

    Returns:
        Answers and settings. Damaged lines of the predictions are left out and counted.

    Raises:
        RunError: If it is no such folder, is not finished, or its files do not belong together.
    """
    name = shown(folder)
    _check_folder(folder, name)
    metrics = _json_object(folder / METRICS)
    scored, answered = (_json_object(folder / file).get("provenance") for file in (METRICS, HEADER))
    if not isinstance(scored, dict) or not isinstance(answered, dict):
        # Headers of the first versions have it under another name.
        scored = answered = {}
    if any(scored[field] != answered[field] for field in scored.keys() & answered.keys()):
        raise RunError(
            f"{name}: {METRICS} is of other predictions than {PREDICTIONS}; run the same `caslie_model evaluate` again"
        )
    settings = read_yaml(folder / CONFIG)
    try:
        if not isinstance(settings, dict):
            raise TypeError(CONFIG)
        fields = {field: settings[field] for field in _SELECTION if field in settings}
        # Nothing is asked: a model of a server needs no address.
        selection = EvaluateConfig(
            model=str(metrics["model"]), data=str(metrics["data"]), out=folder, predictions=folder, **fields
        )
        results = {
            (str(each["task"]), str(each["split"])): dict(each)
            for each in metrics["results"]
            if each["part"] == "all"
        }
        numbers = [(int(each["samples"]), float(each["primary"])) for each in results.values()]
    except (ValidationError, KeyError, TypeError, ValueError):
        raise RunError(
            f"{name}: {METRICS} or {CONFIG} is damaged; run the same `caslie_model evaluate` again"
        ) from None
    if not numbers:
        raise RunError(f"{name}: {METRICS} has no figures; run the same `caslie_model evaluate` again")
    answers, damaged = _read_answers(folder / PREDICTIONS)
    return EvaluatedModel(
        letter,
        folder,
        _described(metrics, settings),
        selection,
        str(metrics.get("public_data", metrics["data"])),
        results,
        answers,
        damaged,
    )


def _check_folder(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise RunError(f"{name}: there is no such folder; give folders that `caslie_model evaluate` wrote")
    missing = [file for file in (PREDICTIONS, HEADER, METRICS, CONFIG) if not (folder / file).is_file()]
    if {PREDICTIONS, METRICS} <= set(missing):
        there = made_by(folder)
        what = f"holds {there[0]}" if there else "is not a folder of `caslie_model evaluate`"
        raise RunError(f"{name} {what}; give folders that `caslie_model evaluate` wrote")
    if missing:
        raise RunError(
            f"{name} has no {', '.join(missing)}: the evaluation is not finished; run the same `caslie_model evaluate` "
            "again, it continues where it stopped"
        )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RunError(f"{shown(path)} is damaged; run the same `caslie_model evaluate` again")
    return content


def _read_answers(path: Path) -> tuple[dict[str, Answer], int]:
    """Return the answers to samples as they are published, and the number of damaged lines."""
    answers: dict[str, Answer] = {}
    damaged = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                record = json.loads(line)
                if record.get("variant", "") == "":
                    answers[_text(record, "id")] = _answer(record)
            except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
                damaged += 1
    return answers, damaged


def _answer(record: Mapping[str, Any]) -> Answer:
    label = record["prediction"]
    if not isinstance(label, str | None):
        raise TypeError("prediction")
    text, target = record.get("text"), record.get("target")
    return Answer(
        _text(record, "task"),
        _text(record, "split"),
        None if is_not_finite(record) else label,
        text if isinstance(text, str) else None,
        target if isinstance(target, str) else None,
    )


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _described(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the model with what distinguishes this evaluation of it."""
    parts = ["base only"] if metrics.get("base_only") else []
    if settings.get("scoring") == "likelihood":
        parts.append("likelihood per token" if settings.get("length_normalised") else "likelihood")
    parts += [
        f"{name} {settings[name]}"
        for name, usual in (("images", "own"), ("instruction", "seen"), ("answers", None), ("shots", 0))
        if settings.get(name, usual) not in (usual, None)
    ]
    # As they were shown: settings that name none mean those of the training.
    captions = metrics["provenance"].get("captions")
    parts += [f"captions {captions}"] if captions else []
    name = public_name(str(metrics["model"]))
    return f"{name} ({', '.join(parts)})" if parts else name
