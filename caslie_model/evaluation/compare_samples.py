"""Which samples two or more models can be compared on: those that all were asked, with the same right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caslie_model.data.samples import Sample
from caslie_model.errors import RunError
from caslie_model.evaluation.compare_folders import EvaluatedModel
from caslie_model.inference.select_samples import select_samples, target_fingerprint
from mmecinstruct.core.disk_errors import shown
from mmecinstruct.core.errors import DatasetError

_NAMED = 3  # samples that a message names


@dataclass(frozen=True)
class CommonSamples:
    """The samples of a comparison.

    Attributes:
        samples: By task and split, each in the order of its ids.
        data: Where their dataset is.
        notes: What a reader should know about them.
    """

    samples: dict[tuple[str, str], list[Sample]]
    data: str
    notes: tuple[str, ...]


def common_samples(models: Sequence[EvaluatedModel], data: str | None, common: bool) -> CommonSamples:
    """Return the samples that all models were asked.

    Args:
        models: The models.
        data: Where the dataset is now; None: where each evaluation found it.
        common: Leave out samples that some model was not asked, or that have other right answers, and say so.

    Returns:
        The samples.

    Raises:
        RunError: If the models were asked other samples, and `common` is not set; or have none in common.
        DatasetError: If the dataset is not there.
    """
    asked = {model.letter: _asked(model, data or model.selection.data) for model in models}
    first = models[0]
    problems: list[str] = []
    changed: set[str] = set()
    for model in models:
        own = asked[model.letter]
        names = [
            name
            for name, sample in own.items()
            if _target(model, name) not in (None, target_fingerprint(sample))
        ]
        if names:
            changed.update(names)
            problems.append(
                f"{len(names)} samples have another right answer now than when {model} was asked "
                f"({_named([own[name] for name in names])})"
            )
        if model is not first:
            problems += _differences(first, model, asked[first.letter], own)
    if problems and not common:
        raise RunError(
            f"{problems[0]}. Evaluate all with the same --data, --tasks, --splits, --limit and --subset; or give "
            "--common, which compares the samples that are the same"
        )
    notes = [f"{problem}: left out" for problem in problems]
    kept = set.intersection(*(set(samples) for samples in asked.values())) - changed
    kept -= {name for name in kept if len({_question(asked[model.letter][name]) for model in models}) > 1}
    if not kept:
        raise RunError(f"{', '.join(map(str, models))} have no samples in common; nothing can be compared")
    samples: dict[tuple[str, str], list[Sample]] = {}
    for name, sample in asked[first.letter].items():
        if name in kept:
            samples.setdefault((sample.task, sample.split), []).append(sample)
    for each in samples.values():
        each.sort(key=lambda sample: sample.id)
    return CommonSamples(samples, data or first.selection.data, (*notes, *_notes(models, kept)))


def _asked(model: EvaluatedModel, data: str) -> dict[str, Sample]:
    """Return the samples that a model was asked, by id."""
    if _is_gone(data):
        raise DatasetError(
            f"{model}: its dataset {shown(data)} is not there, and predictions alone do not tell the right answers; "
            "give --data with the folder where it is now"
        )
    samples = select_samples(model.selection.model_copy(update={"data": data})).samples
    asked = {sample.id: sample for sample in samples}
    for (task, split), figures in model.results.items():
        count = sum((sample.task, sample.split) == (task, split) for sample in samples)
        if count != figures["samples"]:
            raise RunError(
                f"{model}: its metrics.json counts {figures['samples']} samples of {task}/{split}, {shown(data)} has "
                f"{count}: the dataset is another one, or was built anew; give --data, or evaluate again"
            )
    return asked


def _is_gone(data: str) -> bool:
    path = Path(data)
    return not path.exists() and (path.is_absolute() or data.count("/") != 1 or data.startswith("."))


def _differences(
    first: EvaluatedModel, other: EvaluatedModel, one: Mapping[str, Sample], two: Mapping[str, Sample]
) -> list[str]:
    """Return what differs between the samples that two models were asked, in words."""
    found = []
    only_first = [each for name, each in one.items() if name not in two]
    only_other = [each for name, each in two.items() if name not in one]
    if only_first or only_other:
        found.append(
            f"{first} and {other} were asked other samples: {len(only_first)} only {first.letter}, "
            f"{len(only_other)} only {other.letter} ({_named(only_first + only_other)})"
        )
    if names := [name for name in one if name in two and _question(one[name]) != _question(two[name])]:
        found.append(
            f"{len(names)} samples have other options or right answers in the datasets of {first} and {other} "
            f"({_named([one[name] for name in names])})"
        )
    return found


def _question(sample: Sample) -> tuple[str, tuple[str, ...]]:
    return sample.output, tuple(sample.options.values())


def _target(model: EvaluatedModel, name: str) -> str | None:
    answer = model.answers.get(name)
    return None if answer is None else answer.target


def _named(samples: Sequence[Sample]) -> str:
    names = [f"{sample.task}/{sample.split} {sample.id}" for sample in samples[:_NAMED]]
    return ", ".join(names) + (", …" if len(samples) > _NAMED else "")


def _notes(models: Sequence[EvaluatedModel], kept: set[str]) -> list[str]:
    notes = []
    for model in models:
        missing = len(kept - set(model.answers))
        if model.damaged:
            notes.append(f"{model}: {model.damaged} lines of its predictions are damaged and left out")
        if missing:
            notes.append(f"{model}: {missing} of {len(kept)} samples have no answer; they count as wrong")
    return notes
