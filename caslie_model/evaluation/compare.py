"""Comparison of two or more models on the samples that all of them answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from caslie_model.config.evaluation import OF_BASELINES
from caslie_model.data.samples import Sample, first_by_hash
from caslie_model.errors import ConfigError, RunError
from caslie_model.evaluation.compare_folders import EvaluatedModel, read_evaluation
from caslie_model.evaluation.compare_page import comparison_page
from caslie_model.evaluation.compare_samples import common_samples
from caslie_model.evaluation.compare_statistics import (
    LEVEL,
    PairedDifference,
    average_improvement,
    holm,
    improvement,
    improvement_over_best,
    mcnemar,
    mean,
    paired_difference,
)
from caslie_model.evaluation.compare_tables import comparison_markdown, comparison_text
from caslie_model.evaluation.intervals import effective_units, estimate, metric_shares, resampled_metrics
from caslie_model.evaluation.metrics import Bootstrap, Floats, answer_cells
from caslie_model.evaluation.published import published
from caslie_model.evaluation.units import sample_units
from mmecinstruct.core.disk_errors import shown
from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import YES_NO

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 10_000
SAMPLES = 5
# What a model has to beat to be believed.
TFIDF = OF_BASELINES + "tfidf"
# Of recomputed figures and those in metrics.json.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """A comparison of models.

    Attributes:
        content: All figures, notes and chosen samples, as JSON values.
        data: Where the dataset is.
    """

    content: dict[str, Any]
    data: str

    @property
    def table(self) -> pd.DataFrame:
        """The differences, a row per task, split and model other than the reference."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"task": cell["task"], "split": cell["split"], "model": letter, **found}
                for cell in self.content["cells"]
                for letter, found in cell["comparisons"].items()
            ]
        )

    def text(self, width: int | None = None) -> str:
        """Return the tables as plain text.

        Args:
            width: Characters of the terminal; wider tables lose their details. None: all columns.
        """
        return comparison_text(self.content, width)

    def markdown(self) -> str:
        """Return tables and samples as Markdown."""
        return comparison_markdown(self.content)

    def html(self) -> str:
        """Return tables, charts, and samples with their images as one self-contained page."""
        return comparison_page(self.content, self.data)

    def json(self) -> str:
        """Return `content` as JSON text."""
        return json.dumps(self.content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def compare(
    folders: Sequence[Path],
    *,
    reference: str | None = None,
    data: str | None = None,
    common: bool = False,
    samples: int = SAMPLES,
    with_published: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare the answers in two or more folders of `evaluate`.

    Args:
        folders: The folders.
        reference: The one that others are compared with: a folder, its name or its letter. None: the first.
        data: Where the dataset is now; None: where the evaluations found it.
        common: Compare the samples that all models were asked, where they were asked different ones.
        samples: So many samples of each kind are shown, on which two models differ.
        with_published: Put the paper's scores beside.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap and of the shown samples.

    Returns:
        The comparison.

    Raises:
        MmecError: If a folder is no finished evaluation, or the models answered other samples.
    """
    models = _read(folders)
    base = _reference(models, reference)
    found = common_samples(models, data, common)
    cells = [
        _cell(task, split, chosen, models, base, Bootstrap(resamples, seed))
        for (task, split), chosen in found.samples.items()
    ]
    for p, corrected in (("p", "p_holm"), ("mcnemar_p", "mcnemar_p_holm")):
        _correct(cells, "comparisons", p, corrected)
    _correct(cells, "over_tfidf", "p", "p_holm")
    for cell in cells:
        for each in cell["over_tfidf"].values():
            each["is_above"] = each["difference"] > 0 and each["p_holm"] < LEVEL
        for letter, each in cell["comparisons"].items():
            significant = each["p_holm"] < LEVEL and each["difference"] != 0
            each["better"] = (letter if each["difference"] > 0 else base.letter) if significant else None
    content = {
        "models": [
            # A report may be handed on: it names no path of this machine.
            {"letter": each.letter, "folder": shown(each.folder.resolve().name), "model": each.model}
            for each in models
        ],
        "reference": base.letter,
        "public_data": models[0].public_data,
        "notes": list(found.notes),
        "resamples": resamples,
        "seed": seed,
        "comparisons": sum(len(cell["comparisons"]) for cell in cells),
        "cells": cells,
        "improvement": _improvements(cells, [each.letter for each in models], base.letter),
        "published": _published(models) if with_published else None,
        "samples": [
            chosen
            for cell in cells
            for chosen in _shown_samples(
                found.samples[cell["task"], cell["split"]], models, base, samples, seed
            )
        ],
    }
    return Comparison(content, found.data)


def _read(folders: Sequence[Path]) -> list[EvaluatedModel]:
    if len(folders) < 2:
        raise ConfigError("a comparison needs two folders of `caslie_model evaluate` or more")
    if len(folders) > len(ascii_uppercase):
        raise ConfigError(f"{len(folders)} folders; at most {len(ascii_uppercase)} are compared at once")
    seen: dict[Path, Path] = {}
    for folder in folders:
        if folder.resolve() in seen:
            raise ConfigError(f"{shown(folder)} is given twice; give folders of different evaluations")
        seen[folder.resolve()] = folder
    return [read_evaluation(folder, letter) for folder, letter in zip(folders, ascii_uppercase, strict=False)]


def _reference(models: Sequence[EvaluatedModel], reference: str | None) -> EvaluatedModel:
    if reference is None:
        return models[0]
    for names in (
        lambda model: str(model.folder),
        lambda model: model.letter,
        lambda model: model.folder.resolve().name,
    ):
        found = [model for model in models if names(model) == reference.rstrip("/")]
        if len(found) == 1:
            return found[0]
    raise ConfigError(f"reference {reference!r} is none of {', '.join(map(str, models))}")


def _cell(
    task: str,
    split: str,
    samples: Sequence[Sample],
    models: Sequence[EvaluatedModel],
    base: EvaluatedModel,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Return the figures of one task and split."""
    labels = tuple(dict.fromkeys(label for sample in samples for label in sample.labels))
    labels = labels if labels == YES_NO else tuple(sorted(labels))
    gold = [sample.output for sample in samples]
    units = sample_units(task, samples)
    metric = TASKS[task].metric
    seeded = Bootstrap(bootstrap.resamples, hash_draw(bootstrap.seed, "bootstrap", task, split, "all"))
    _, unit_of = np.unique(np.asarray(units.names, dtype=np.str_), return_inverse=True)
    scores: dict[str, dict[str, Any]] = {}
    parts: list[tuple[Floats, Floats]] = []
    right: dict[str, list[bool]] = {}
    for model in models:
        answers = [_label(model, sample) for sample in samples]
        found = estimate(metric, gold, answers, labels, units.names)
        _check_figure(model, task, split, len(samples), found.value)
        above, below, _ = metric_shares(metric, answer_cells(gold, answers, labels), unit_of, labels)
        parts.append((above, below))
        right[model.letter] = [answer == label for answer, label in zip(answers, gold, strict=True)]
        scores[model.letter] = {
            "score": found.value,
            "interval": list(found.interval),
            "right": sum(right[model.letter]),
            "no_answer": answers.count(None),
        }
    comparisons: dict[str, dict[str, Any]] = {}
    over_tfidf: dict[str, dict[str, Any]] = {}
    resampled = dict(zip(scores, resampled_metrics(parts, seeded), strict=True))
    shares = {letter: np.hstack(part) for letter, part in zip(scores, parts, strict=True)}

    def difference_of(one: EvaluatedModel, other: EvaluatedModel) -> PairedDifference:
        return paired_difference(
            scores[one.letter]["score"] - scores[other.letter]["score"],
            resampled[one.letter] - resampled[other.letter],
            effective_units(unit_of),
            int((shares[one.letter] != shares[other.letter]).any(axis=1).sum()),
        )

    tfidf = next((model for model in models if model.selection.model == TFIDF), None)
    for model in models:
        if tfidf is not None and model.selection.model != TFIDF:
            found_over = difference_of(model, tfidf)
            over_tfidf[model.letter] = {"difference": found_over.value, "p": found_over.p}
        if model is base:
            continue
        difference = difference_of(model, base)
        pairs = list(zip(right[base.letter], right[model.letter], strict=True))
        only_reference, only_other = pairs.count((True, False)), pairs.count((False, True))
        comparisons[model.letter] = {
            "difference": difference.value,
            "interval": [difference.low, difference.high],
            "p": difference.p,
            "detectable": difference.detectable,
            "only_reference": only_reference,
            "only_other": only_other,
            "both_right": pairs.count((True, True)),
            "both_wrong": pairs.count((False, False)),
            "mcnemar_p": mcnemar(only_reference, only_other),
        }
    return {
        "task": task,
        "split": split,
        "metric": metric,
        "samples": len(samples),
        "units": units.count,
        "unit": units.kind,
        "scores": scores,
        "comparisons": comparisons,
        "over_tfidf": over_tfidf,
    }


def _label(model: EvaluatedModel, sample: Sample) -> str | None:
    answer = model.answers.get(sample.id)
    return None if answer is None or answer.label not in sample.labels else answer.label


def _check_figure(model: EvaluatedModel, task: str, split: str, samples: int, score: float) -> None:
    """Check that predictions and dataset still give the figure that the evaluation found."""
    said = model.results.get((task, split))
    if said is None or said["samples"] != samples or abs(said["primary"] - score) <= _ROUNDING:
        return
    raise RunError(
        f"{model}: its metrics.json gives {said['primary']:.4f} for {task}/{split}, its predictions give {score:.4f}: "
        "the dataset or the predictions changed since; evaluate again"
    )


def _correct(cells: Sequence[Mapping[str, Any]], kind: str, name: str, corrected: str) -> None:
    """Correct a p-value over all comparisons of a kind of all cells."""
    found = [each for cell in cells for each in cell[kind].values()]
    for each, value in zip(found, holm([each[name] for each in found]), strict=True):
        each[corrected] = value


def _improvements(
    cells: Sequence[Mapping[str, Any]], letters: Sequence[str], base: str
) -> list[dict[str, Any]]:
    """Return each model's mean relative improvement in percent, over the cells of each split and over all."""
    splits = list(dict.fromkeys(cell["split"] for cell in cells))
    scopes = {split: [cell for cell in cells if cell["split"] == split] for split in splits}
    if len(splits) > 1:
        scopes["all"] = list(cells)
    rows = []
    for letter in letters:
        for scope, chosen in scopes.items():
            scores = [{name: each["score"] for name, each in cell["scores"].items()} for cell in chosen]
            found: dict[str, list[float | None]] = {"over_reference": [], "over_best": [], "average": []}
            for each in scores:
                others = [score for name, score in each.items() if name != letter]
                found["over_best"].append(improvement_over_best(each[letter], others))
                found["average"].append(average_improvement(each[letter], others))
                if letter != base:
                    found["over_reference"].append(improvement(each[letter], each[base]))
            rows.append(
                {
                    "model": letter,
                    "scope": scope,
                    "cells": len(chosen),
                    **{
                        kind: {"percent": mean(values), "tasks": sum(value is not None for value in values)}
                        for kind, values in found.items()
                    },
                }
            )
    return rows


def _published(models: Sequence[EvaluatedModel]) -> dict[str, Any]:
    paper = published()
    return {
        "source": paper.source,
        "dataset": paper.dataset,
        "same_test_set": all(model.public_data == paper.dataset for model in models),
        "rows": [
            {
                "name": name,
                "scores": [
                    {"task": task, "split": split, "score": score} for (task, split), score in row.items()
                ],
            }
            for name, row in {**paper.baselines, **paper.models}.items()
        ],
    }


def _shown_samples(
    samples: Sequence[Sample],
    models: Sequence[EvaluatedModel],
    base: EvaluatedModel,
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return some samples of one task and split that one of two models alone has right, for each pair and side."""
    result = []
    for other in models:
        if other is base:
            continue
        for one, two in ((base, other), (other, base)):
            found = [s for s in samples if _label(one, s) == s.output and _label(two, s) != s.output]
            if found:
                result.append(
                    {
                        "task": found[0].task,
                        "split": found[0].split,
                        "right": one.letter,
                        "wrong": two.letter,
                        "count": len(found),
                        "samples": [
                            _shown_sample(sample, models)
                            for sample in first_by_hash(found, count, seed, "compared samples")
                        ],
                    }
                )
    return result


def _shown_sample(sample: Sample, models: Sequence[EvaluatedModel]) -> dict[str, Any]:
    return {
        "id": sample.id,
        "category": sample.category,
        "instruction": sample.instruction,
        "input": [{"name": field.name, "texts": list(field.texts)} for field in sample.fields],
        "options": sample.options,
        "right_answer": sample.output,
        "answers": {
            model.letter: {
                "label": _label(model, sample),
                "text": model.answers[sample.id].text if sample.id in model.answers else None,
            }
            for model in models
        },
    }
