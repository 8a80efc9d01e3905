"""Baselines that know next to nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from caslie_model.baselines.baseline import FitData, Scorer, Scores
from caslie_model.data.samples import Sample
from mmecinstruct.core.hashing import hash_fraction


def fit_majority(data: FitData) -> Scorer:
    """Return the scorer that gives each label its share of the training answers."""
    counts = Counter(sample.output for sample in data.train)

    def score(samples: Sequence[Sample]) -> Scores:
        # One more of each label: none is impossible.
        return [
            normalised({label: math.log(counts[label] + 1) for label in sample.labels}) for sample in samples
        ]

    return score


def fit_random(data: FitData) -> Scorer:
    """Return the scorer that scores by hash draws."""

    def score(samples: Sequence[Sample]) -> Scores:
        return [
            normalised(
                {
                    label: hash_fraction(data.seed, "random baseline", sample.id, label)
                    for label in sample.labels
                }
            )
            for sample in samples
        ]

    return score


def fit_first_option(data: FitData) -> Scorer:
    """Return the scorer that prefers labels by their order: A before B, yes before no."""

    def score(samples: Sequence[Sample]) -> Scores:
        return [
            normalised({label: -float(place) for place, label in enumerate(sample.labels)})
            for sample in samples
        ]

    return score


def normalised(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores as log-probabilities."""
    highest = max(scores.values())
    total = highest + math.log(sum(math.exp(value - highest) for value in scores.values()))
    return {label: value - total for label, value in scores.items()}
