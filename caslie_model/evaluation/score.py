"""The figures of every task, split and part, from samples and the records of their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.data.samples import Sample, read_outputs
from caslie_model.evaluation.breakdowns import breakdowns
from caslie_model.evaluation.image_use import image_use
from caslie_model.evaluation.intervals import (
    FEW_ROWS,
    FEW_UNITS,
    MANY_ROWS,
    Estimate,
    bootstrap_interval,
    detectable_difference,
    estimate,
)
from caslie_model.evaluation.metrics import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    accuracy,
    class_scores,
    confusion,
    macro,
    majority_label,
    primary,
    wilson_interval,
)
from caslie_model.evaluation.position_bias import position_bias
from caslie_model.evaluation.ranking import ranking_figures
from caslie_model.evaluation.records import PUBLISHED, Records, answer_of, is_not_finite
from caslie_model.evaluation.units import sample_units
from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.tasks import TASKS

# The parts of a split that are scored, and whether a sample of it needs its image.
PARTS: dict[str, bool | None] = {"all": None, "visual_critical": True, "not_visual_critical": False}
# Correlations between the errors of two models, for the range of the smallest difference that can be found.
LOW_CORRELATION, HIGH_CORRELATION = 0.0, 0.9


def majority_labels(data: str, samples: Sequence[Sample]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the majority baseline of each task and split.

    Args:
        data: A dataset folder, or user/name on the Hub.
        samples: The evaluated samples.

    Returns:
        By (task, split): the most frequent label, and the split it was counted in: train, otherwise the evaluated one.
    """
    result = {}
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        trained = read_outputs(data, task, "train")
        here = [sample.output for sample in samples if (sample.task, sample.split) == (task, split)]
        result[task, split] = (majority_label(trained or here), "train" if trained else split)
    return result


def score(
    samples: Sequence[Sample],
    records: Records,
    baselines: Mapping[tuple[str, str], tuple[str, str]],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> dict[str, list[dict[str, Any]]]:
    """Return all figures that the records of predictions allow.

    Args:
        samples: The evaluated samples.
        records: By id of the sample and variant, as the log of predictions has them: `prediction` is None for an
            unparsable answer; a sample without a record is missing. Both are wrong.
        baselines: As `majority_labels` returns them.
        bootstrap: Number of resamples and seed, from which each part's own follows.

    Returns:
        Rows of metrics.json: `results` of each part of every task and split; `breakdowns`; and, where the samples were
        asked in other ways, `image_use` and `position_bias`.
    """
    results, groups = [], []
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        whole = [sample for sample in samples if (sample.task, sample.split) == (task, split)]
        units = sample_units(task, whole)
        for part, critical in PARTS.items():
            pairs = [
                (sample, unit)
                for sample, unit in zip(whole, units.names, strict=True)
                if critical is None or sample.visual_critical is critical
            ]
            if pairs:
                own = Bootstrap(
                    bootstrap.resamples, hash_draw(bootstrap.seed, "bootstrap", task, split, part)
                )
                figures = _part(task, pairs, records, baselines[task, split], own)
                results.append({"task": task, "split": split, "part": part, **figures, "unit": units.kind})
        groups += breakdowns(task, split, whole, units, records)
    found = {"image_use": image_use(samples, records), "position_bias": position_bias(samples, records)}
    return {"results": results, "breakdowns": groups, **{name: rows for name, rows in found.items() if rows}}


def _part(
    task: str,
    pairs: Sequence[tuple[Sample, str]],
    records: Records,
    baseline: tuple[str, str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    rows = [sample for sample, _ in pairs]
    labels = tuple(dict.fromkeys(label for sample in rows for label in sample.labels))
    known = [s.text_only_accuracy for s in rows if s.text_only_accuracy is not None]
    there = [record for s in rows if (record := records.get((s.id, PUBLISHED))) is not None]
    not_finite = sum(map(is_not_finite, there))
    return {
        **score_part(
            task,
            [sample.output for sample in rows],
            [answer_of(records, sample) for sample in rows],
            labels if labels == ("yes", "no") else tuple(sorted(labels)),
            baseline[0],
            bootstrap,
            [unit for _, unit in pairs],
        ),
        "majority_from": baseline[1],
        "unparsable": sum(record["prediction"] is None and not is_not_finite(record) for record in there),
        "not_finite": not_finite,
        "missing": len(rows) - len(there),
        "text_only_accuracy": sum(known) / len(known) if known else None,
        **ranking_figures(task, rows, records),
    }


def score_part(
    task: str,
    gold: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    majority: str,
    bootstrap: Bootstrap,
    units: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return every figure of one part of one task's split that the answers alone give.

    Args:
        task: Full name of the task.
        gold: Right labels.
        answers: Answered labels, None for no answer.
        labels: All labels that the part's samples allow.
        majority: The label of the majority baseline.
        bootstrap: Number of resamples, and their seed.
        units: The unit of each sample; None: each is one.

    Returns:
        Figures by name.

    Raises:
        ValueError: If the part is empty.
    """
    if not gold:
        raise ValueError("no samples to score")
    metric = TASKS[task].metric
    counts = confusion(gold, answers, labels)
    precision, recall, f1, occurs = class_scores(counts)
    right = sum(answer == label for answer, label in zip(answers, gold, strict=True))
    constants = {label: confusion(gold, [label] * len(gold), labels) for label in labels}
    constant = constants.get(majority, confusion(gold, [majority] * len(gold), labels))
    each = [str(number) for number in range(len(gold))]
    units = each if units is None else units
    found = estimate(metric, gold, answers, labels, units)
    return {
        "samples": len(gold),
        "metric": metric,
        "primary": found.value,
        "primary_interval": list(found.interval),
        "primary_interval_of_rows": list(estimate(metric, gold, answers, labels, each).interval),
        "primary_interval_bootstrap": list(
            bootstrap_interval(metric, gold, answers, labels, units, bootstrap)
        ),
        "accuracy": right / len(gold),
        "accuracy_interval": list(estimate("accuracy", gold, answers, labels, units).interval),
        "accuracy_interval_of_rows": list(wilson_interval(right, len(gold))),
        "units": found.units,
        "effective_units": found.effective_units,
        "doubts": _doubts(metric, gold, labels, found),
        "detectable_difference": detectable_difference(found),
        "detectable_difference_range": [
            detectable_difference(found, HIGH_CORRELATION),
            detectable_difference(found, LOW_CORRELATION),
        ],
        "macro_precision": float(macro(precision, occurs)),
        "macro_recall": float(macro(recall, occurs)),
        "macro_f1": float(macro(f1, occurs)),
        "majority_label": majority,
        "majority_primary": float(primary(metric, constant, labels)),
        "majority_accuracy": float(accuracy(constant)),
        "best_constant_primary": max(float(primary(metric, each, labels)) for each in constants.values()),
        "labels": list(labels),
        "confusion": counts.tolist(),
    }


def _doubts(metric: str, gold: Sequence[str], labels: Sequence[str], found: Estimate) -> list[str]:
    """Return why the interval may hold the true value less often than it says."""
    units, effective = found.units, found.effective_units
    rare = [f"{label}: {count} rows" for label in labels if (count := gold.count(label)) < FEW_ROWS]
    return [
        *(rare if metric in ("F1", "macro F1") else []),
        *([f"{units} units"] if units < FEW_UNITS else []),
        *(
            [f"{units} units of unequal size, as good as {effective:.0f}"]
            if effective < FEW_UNITS <= units
            else []
        ),
        *([f"{len(gold) / units:.1f} rows a unit"] if len(gold) > MANY_ROWS * units else []),
    ]
