"""Recommendation by counts of purchases alone: popularity, and items that are bought together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.purchases import (
    DECAYS,
    Preference,
    bought_sequences,
    choose_on_validation,
    purchases_of,
    recency_weights,
)
from caslie_model.data.samples import Sample


@dataclass(frozen=True, slots=True)
class PopularitySetting:
    """What a purchase counts.

    Attributes:
        in_history: In a training history.
        as_target: As the right answer of a training sample.
    """

    in_history: float
    as_target: float


@dataclass(frozen=True, slots=True)
class NeighbourSetting:
    """How neighbours are weighed.

    Attributes:
        decay: Weight of a purchase relative to the next one of the history.
        shrinkage: Added to the denominator of the cosine: a pair that was bought once says less than one of many.
    """

    decay: float
    shrinkage: float


POPULARITY_SETTINGS = (
    PopularitySetting(1, 1),
    PopularitySetting(0.5, 1),
    PopularitySetting(0.25, 1),
    PopularitySetting(0.1, 1),
    PopularitySetting(0, 1),
    PopularitySetting(1, 0),
)
NEIGHBOUR_SETTINGS = tuple(NeighbourSetting(decay, shrinkage) for decay in DECAYS for shrinkage in (0, 10))


def fit_popularity(data: FitData) -> Scorer:
    """Return the scorer that scores an option by its purchases in the training split."""
    sequences = bought_sequences(data.train)
    in_history = Counter(item for sequence in sequences for item in sequence[:-1])
    as_target = Counter(sequence[-1] for sequence in sequences)

    def fit(setting: PopularitySetting) -> Preference:
        def prefer(sample: Sample) -> Mapping[str, float]:
            return {
                label: math.log(
                    1 + setting.in_history * in_history[item] + setting.as_target * as_target[item]
                )
                for label, item in purchases_of(sample).options.items()
            }

        return prefer

    return choose_on_validation(data, POPULARITY_SETTINGS, fit)


def fit_item_knn(data: FitData) -> Scorer:
    """Return the scorer that sums an option's similarities to the history: how often both are bought by one user.

    The similarity of two items is n_ij / (sqrt(n_i n_j) + shrinkage), with n_i the training sequences (history and
    target) that have item i, and n_ij those that have both.
    """
    buyers: dict[str, set[int]] = {}
    for number, sequence in enumerate(bought_sequences(data.train)):
        for item in sequence:
            buyers.setdefault(item, set()).add(number)

    def similarity(one: str, other: str, shrinkage: float) -> float:
        of_one, of_other = buyers.get(one), buyers.get(other)
        if not of_one or not of_other:
            return 0.0
        return len(of_one & of_other) / (math.sqrt(len(of_one) * len(of_other)) + shrinkage)

    def fit(setting: NeighbourSetting) -> Preference:
        def prefer(sample: Sample) -> Mapping[str, float]:
            purchases = purchases_of(sample)
            weights = recency_weights(len(purchases.history), setting.decay)
            return {
                label: sum(
                    weight * similarity(item, option, setting.shrinkage)
                    for item, weight in zip(purchases.history, weights, strict=True)
                )
                for label, option in purchases.options.items()
            }

        return prefer

    return choose_on_validation(data, NEIGHBOUR_SETTINGS, fit)
