"""Figures from the likelihoods of all options: ranks, both ways of normalising, calibration.

A record has them where its options were scored: `scores`, the summed log-likelihood of each label, with `tokens`, the
number of its tokens. `absent` names labels whose score a server did not give; they rank last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caslie_model.data.samples import Sample
from caslie_model.evaluation.metrics import confusion, primary
from caslie_model.evaluation.records import PUBLISHED, Record, Records, is_not_finite
from mmecinstruct.tasks import TASKS

RECALL_AT = (1, 3, 5, 10)
CALIBRATION_BINS = 10


def ranking_figures(task: str, samples: Sequence[Sample], records: Records) -> dict[str, Any]:
    """Return the figures that need the scores of all options.

    A sample that is missing, or whose scores are no finite numbers, ranks behind all options. Equal scores rank in the
    order of the options, as predictions do.

    Args:
        task: Full name of the task.
        samples: Samples of one part.
        records: Of predictions; those of the published samples count.

    Returns:
        `ranking` and, where probabilities exist, `calibration`; empty where no record has scores.
    """
    found = [records.get((sample.id, PUBLISHED)) for sample in samples]
    if not any(record is not None and record.get("scores") for record in found):
        return {}
    ranks = np.array([_rank(sample, record) for sample, record in zip(samples, found, strict=True)])
    smallest = min(len(sample.labels) for sample in samples)
    absent = [
        set() if record is None or not record.get("scores") else set(sample.labels) - set(_given(record))
        for sample, record in zip(samples, found, strict=True)
    ]
    ranking: dict[str, Any] = {
        "recall": {str(k): float((ranks <= k).mean()) for k in RECALL_AT if k < smallest},
        "mrr": float((1 / ranks).mean()),
        "ndcg": float((1 / np.log2(1 + ranks)).mean()),
        "samples_with_absent_labels": sum(map(bool, absent)),
        "right_label_absent": sum(s.output in names for s, names in zip(samples, absent, strict=True)),
    }
    # Without the number of tokens it is not known what the scores are: earlier versions divided some of them.
    if any(record is not None and record.get("tokens") for record in found):
        for name, per_token in (("summed", False), ("per_token", True)):
            answers = [
                _likeliest(sample, record, per_token) for sample, record in zip(samples, found, strict=True)
            ]
            ranking |= _accuracies(name, task, samples, answers)
    return {"ranking": ranking, **_calibration(samples, found)}


def _given(record: Record) -> dict[str, float]:
    """Return the finite scores of a record's labels, without those that were absent."""
    if is_not_finite(record):
        return {}
    absent = record.get("absent") or ()
    return {label: value for label, value in record["scores"].items() if label not in absent}


def _rank(sample: Sample, record: Record | None) -> float:
    """Return the rank of the right label, from 1 on; infinity where nothing was ranked."""
    scores = _given(record) if record is not None and record.get("scores") else {}
    if not scores:
        return math.inf
    if sample.output not in scores:
        return len(sample.labels)
    order = sorted(scores, key=lambda label: (-scores[label], sample.labels.index(label)))
    return 1 + order.index(sample.output)


def _likeliest(sample: Sample, record: Record | None, per_token: bool) -> str | None:
    scores = _given(record) if record is not None and record.get("scores") else {}
    if per_token and record is not None:
        tokens = record.get("tokens") or {}
        scores = {label: value / tokens[label] for label, value in scores.items() if tokens.get(label)}
    return max((label for label in sample.labels if label in scores), key=lambda x: scores[x], default=None)


def _accuracies(
    name: str, task: str, samples: Sequence[Sample], answers: Sequence[str | None]
) -> dict[str, float]:
    gold = [sample.output for sample in samples]
    labels = tuple(dict.fromkeys(label for sample in samples for label in sample.labels))
    return {
        f"accuracy_{name}": sum(map(str.__eq__, gold, map(str, answers))) / len(gold),
        f"primary_{name}": float(primary(TASKS[task].metric, confusion(gold, answers, labels), labels)),
    }


def _calibration(samples: Sequence[Sample], records: Sequence[Record | None]) -> dict[str, Any]:
    """Return how well the softmax over the summed log-likelihoods tells how often an answer is right.

    Only of samples with a score of every label, from records that say what was summed.
    """
    top, right, brier, loss = [], [], [], []
    for sample, record in zip(samples, records, strict=True):
        scores = (
            _given(record) if record is not None and record.get("scores") and record.get("tokens") else {}
        )
        if set(scores) != set(sample.labels):
            continue
        values = np.array([scores[label] for label in sample.labels], dtype=np.float64)
        logs = values - values.max()
        logs -= math.log(float(np.exp(logs).sum()))
        chances = np.exp(logs)
        answer = sample.labels.index(sample.output)
        wanted = np.zeros(len(chances))
        wanted[answer] = 1.0
        top.append(float(chances.max()))
        right.append(float(chances.argmax() == answer))
        brier.append(float(((chances - wanted) ** 2).sum()))
        loss.append(-float(logs[answer]))
    if not top:
        return {}
    return {
        "calibration": {
            "samples": len(top),
            "ece": expected_calibration_error(top, right),
            "brier": sum(brier) / len(brier),
            "log_loss": sum(loss) / len(loss),
        }
    }


def expected_calibration_error(
    chances: Sequence[float], right: Sequence[float], bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean gap between the chance of an answer and how often such answers are right.

    Args:
        chances: Of the answers given [n].
        right: 1 for a right answer, else 0 [n].
        bins: Number of bins of equal width.

    Returns:
        The gap, averaged over samples.
    """
    gaps = np.asarray(chances) - np.asarray(right)
    places = np.minimum((np.asarray(chances) * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(places, gaps, minlength=bins)).sum() / len(gaps))
