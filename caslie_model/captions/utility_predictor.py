"""A small predictor of whether a caption helps, calibrated, and cross-fitted: no row is decided by what has seen it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Captions that help, and captions that harm, which a predictor needs to learn from.
LEAST_ROWS = 10
# Inverse strength of the regularisation on standardised features: few rows, many features.
_C = 0.1
_CERTAIN = 1e-6


@dataclass(frozen=True)
class Lesson:
    """A caption whose effect was measured.

    Attributes:
        features: Its features by name.
        helps: Whether it helps; otherwise it harms.
        fold: The fold of its sample.
        weight: Its weight in the loss.
    """

    features: Mapping[str, float]
    helps: bool
    fold: int
    weight: float = 1.0


@dataclass(frozen=True)
class Predictor:
    """The probability that a caption helps, given that it changes anything.

    Attributes:
        names: Names of the features; none where all captions get the same probability.
        mean: Of each feature in the lessons.
        scale: Standard deviation of each feature in the lessons.
        weights: Of the standardised features.
        intercept: Log-odds of a caption whose features are all at their mean; without features, of all captions.
        why_constant: Why all captions get the same probability; None where they do not.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    why_constant: str | None = None

    def probability(self, features: Mapping[str, float]) -> float:
        """Return the probability for a caption.

        Args:
            features: Its features by name; those that no lesson had do not count.
        """
        logit = self.intercept + math.fsum(
            weight * (features.get(name, 0.0) - mean) / scale
            for name, mean, scale, weight in zip(self.names, self.mean, self.scale, self.weights, strict=True)
        )
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def fit_predictor(lessons: Sequence[Lesson]) -> Predictor:
    """Fit a logistic regression, and calibrate it on its own predictions for folds that it has not seen.

    Args:
        lessons: What is learned from, of two folds at least. Their order changes nothing but rounding.

    Returns:
        The predictor; a constant one where the lessons are too few, or teach nothing that holds for other groups.
    """
    helpful = sum(lesson.helps for lesson in lessons)
    harmful = len(lessons) - helpful
    constant = math.log((helpful + 1) / (harmful + 1))
    if min(helpful, harmful) < LEAST_ROWS:
        return _constant(
            constant, f"{helpful} captions help and {harmful} harm: {LEAST_ROWS} of each are needed"
        )
    names = tuple(sorted({name for lesson in lessons for name in lesson.features}))
    held_out = _held_out_logits(lessons, names)
    if held_out is None:
        return _constant(constant, "all that help, or all that harm, are of one group of samples")
    slope, shift = _calibration(held_out, lessons)
    if slope <= 0:
        return _constant(constant, "what it learned of some groups does not hold for others")
    fitted = _fit(lessons, names)
    return Predictor(
        names,
        fitted.mean,
        fitted.scale,
        tuple(slope * weight for weight in fitted.weights),
        slope * fitted.intercept + shift,
    )


def cross_fit(lessons: Sequence[Lesson], folds: int) -> list[Predictor]:
    """Return a predictor for each fold, which has seen all lessons but those of the fold.

    Args:
        lessons: What is learned from.
        folds: Number of folds.
    """
    return [fit_predictor([each for each in lessons if each.fold != fold]) for fold in range(folds)]


def _constant(logit: float, why: str) -> Predictor:
    return Predictor((), (), (), (), logit, why)


def _held_out_logits(lessons: Sequence[Lesson], names: tuple[str, ...]) -> list[float] | None:
    logits = [0.0] * len(lessons)
    for fold in sorted({lesson.fold for lesson in lessons}):
        others = [lesson for lesson in lessons if lesson.fold != fold]
        if len({lesson.helps for lesson in others}) < 2:
            return None
        fitted = _fit(others, names)
        for number, lesson in enumerate(lessons):
            if lesson.fold == fold:
                p = fitted.probability(lesson.features)
                logits[number] = math.log(max(p, _CERTAIN) / max(1 - p, _CERTAIN))
    return logits


def _calibration(logits: Sequence[float], lessons: Sequence[Lesson]) -> tuple[float, float]:
    """Return slope and shift that turn logits into those of calibrated probabilities (Platt).

    As Platt did, the lessons are taken for a little less than certain, so that no probability becomes 0 or 1.
    """
    import numpy as np

    helpful = sum(lesson.helps for lesson in lessons)
    unsure = {True: 1 / (helpful + 2), False: 1 / (len(lessons) - helpful + 2)}
    sure = [replace(lesson, weight=lesson.weight * (1 - unsure[lesson.helps])) for lesson in lessons]
    turned = [
        replace(lesson, helps=not lesson.helps, weight=lesson.weight * unsure[lesson.helps])
        for lesson in lessons
    ]
    model = _logistic(np.array([*logits, *logits])[:, None], [*sure, *turned], 1e6)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _fit(lessons: Sequence[Lesson], names: tuple[str, ...]) -> Predictor:
    import numpy as np

    values = np.array([[lesson.features.get(name, 0.0) for name in names] for lesson in lessons])
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale < 1e-9] = 1.0
    model = _logistic((values - mean) / scale, lessons, _C)
    return Predictor(
        names,
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(model.coef_[0].tolist()),
        float(model.intercept_[0]),
    )


def _logistic(values: np.ndarray[Any, Any], lessons: Sequence[Lesson], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=10_000, tol=1e-8).fit(
        values, [lesson.helps for lesson in lessons], [lesson.weight for lesson in lessons]
    )
