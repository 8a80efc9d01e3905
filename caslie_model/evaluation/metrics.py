"""Metrics from confusion counts. An unparsable or missing answer is always wrong.

All figures of a part come from one matrix [L, L + 1]: gold label by answered label, the last column counting what is no
answer. A test compares every figure with scikit-learn.

For yes/no tasks an unparsable answer is counted as the opposite of the right one: otherwise a model that says "yes"
where it is sure and something unparsable elsewhere would reach an F1 of 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmecinstruct.tasks.task import YES_NO

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How often samples are resampled for an interval, and from which seed."""

    resamples: int = 1000
    seed: int = 0


DEFAULT_BOOTSTRAP = Bootstrap()

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | Floats


def confusion(gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]) -> Counts:
    """Count answers by gold label.

    Args:
        gold: Right labels.
        answers: Answered labels, None for no answer.
        labels: The L labels, in the order of rows and columns.

    Returns:
        Counts [L, L + 1], the last column for no answer.

    Raises:
        ValueError: If a gold label is not among the labels.
    """
    cells = answer_cells(gold, answers, labels)
    size = len(labels)
    return np.bincount(cells, minlength=size * (size + 1)).reshape(size, size + 1)


def answer_cells(
    gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the cell of the confusion matrix that each answer counts in.

    Args:
        gold: Right labels.
        answers: Answered labels, None for no answer.
        labels: The L labels, in the order of rows and columns.

    Returns:
        Index into the flattened counts [L, L + 1] for each answer [n].

    Raises:
        ValueError: If a gold label is not among the labels.
    """
    if len(gold) != len(answers):
        raise ValueError(f"{len(gold)} gold labels, {len(answers)} answers")
    indices = {label: index for index, label in enumerate(labels)}
    binary = set(labels) == set(YES_NO)
    cells = np.empty(len(gold), dtype=np.int64)
    for place, (right, answer) in enumerate(zip(gold, answers, strict=True)):
        if right not in indices:
            raise ValueError(f"gold label {right!r} is not among {list(labels)}")
        column = indices.get(answer, len(labels)) if answer is not None else len(labels)
        if binary and column == len(labels):
            column = 1 - indices[right]
        cells[place] = indices[right] * (len(labels) + 1) + column
    return cells


def class_scores(counts: Counts) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Return precision, recall and F1 of each label. A ratio without a denominator is 0.

    Args:
        counts: [..., L, L + 1].

    Returns:
        Precision, recall and F1 [..., L], and which labels occur, as gold or as answer [..., L].
    """
    answered = counts[..., :-1]
    right = np.diagonal(answered, axis1=-2, axis2=-1).astype(np.float64)
    answered_as, there = answered.sum(axis=-2), counts.sum(axis=-1)
    precision, recall = _ratio(right, answered_as), _ratio(right, there)
    return precision, recall, _ratio(2 * right, answered_as + there), (answered_as + there) > 0


def accuracy(counts: Counts) -> Floats:
    """Return the share of right answers.

    Args:
        counts: [..., L, L + 1].

    Returns:
        Shares [...].
    """
    right = np.diagonal(counts[..., :-1], axis1=-2, axis2=-1).sum(axis=-1)
    return _ratio(right.astype(np.float64), counts.sum(axis=(-2, -1)))


def macro(scores: Floats, occurs: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean over the labels that occur.

    Args:
        scores: [..., L].
        occurs: [..., L].

    Returns:
        Means [...].
    """
    return _ratio((scores * occurs).sum(axis=-1), occurs.sum(axis=-1))


def primary(metric: str, counts: Counts, labels: Sequence[str]) -> Floats:
    """Return a primary metric.

    Args:
        metric: accuracy, recall@1, F1 or macro F1.
        counts: [..., L, L + 1].
        labels: The L labels.

    Returns:
        Values [...].

    Raises:
        ValueError: If there is no such metric.
    """
    if metric in ("accuracy", "recall@1"):
        return accuracy(counts)
    _, _, f1, occurs = class_scores(counts)
    if metric == "F1":
        return np.asarray(f1[..., list(labels).index("yes")])
    if metric == "macro F1":
        return macro(f1, occurs)
    raise ValueError(f"no metric '{metric}'")


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share. Source: Wilson (1927), JASA 22, 209-212.

    Args:
        right: Successes.
        total: Trials.

    Returns:
        Lower and upper bound.
    """
    if total == 0:
        return 0.0, 1.0
    low, high = wilson_bounds(right / total, total, _Z95)
    return float(low), float(high)


def wilson_bounds(share: Any, trials: Any, quantile: float) -> tuple[Floats, Floats]:
    """Return the bounds of Wilson intervals.

    Args:
        share: Shares [...].
        trials: Number of trials of each, whole or effective, above 0 [...].
        quantile: Of the normal distribution, or of Student's.

    Returns:
        Lower and upper bounds [...].
    """
    square = quantile**2 / trials
    centre = (share + square / 2) / (1 + square)
    half = quantile / (1 + square) * np.sqrt(share * (1 - share) / trials + square / trials / 4)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def majority_label(labels: Sequence[str]) -> str:
    """Return the most frequent label, the first in sorted order where several are."""
    return min(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))[0]


def _ratio(numerator: Any, denominator: Any) -> Floats:
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
