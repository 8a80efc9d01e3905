"""Statistics of two models that answered the same samples.

Everything is paired: both models are judged on the same resamples of units (users, queries, products), so what makes a
resample hard for both cancels in their difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caslie_model.evaluation.intervals import t_quantile
from caslie_model.evaluation.metrics import Floats, wilson_bounds

LEVEL = 0.05
POWER = 0.8


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The difference of two models in one metric.

    Attributes:
        value: Score of the one minus that of the other, on all samples.
        low: Lower bound of the 95 % interval.
        high: Its upper bound.
        p: Two-sided p-value of no difference.
        detectable: The smallest true difference that a comparison of these samples finds with a probability of 80 %,
            before any correction for several comparisons; None where no resample differs, or it would be above 1.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float | None


def interval(resampled: Floats, units: float) -> tuple[float, float]:
    """Return a 95 % interval from resamples.

    Its bounds are the percentiles that a t distribution needs instead of a normal one, so that it is wide enough for
    few units. Source: Hesterberg (2015), The American Statistician 69, 371-386.

    Args:
        resampled: The figure in each resample [R].
        units: The number of units that were resampled, at least 1; of units of unequal size the effective number.

    Returns:
        Lower and upper bound.
    """
    from scipy.stats import norm

    freedom = max(units - 1, 1)
    outside = float(norm.sf(_widening(freedom) * t_quantile(1 - LEVEL / 2, freedom)))
    low, high = np.quantile(resampled, [outside, 1 - outside])
    return float(low), float(high)


def paired_difference(
    value: float, resampled: Floats, units: float, differing: float = math.inf
) -> PairedDifference:
    """Return a difference with its interval and p-value.

    The p-value inverts `interval`: twice the share of resamples in which the difference has the other sign or is 0
    (with one resample added to both sides of the fraction), taken through the same t distribution. It is below .05
    where the interval leaves out 0. It is not below the smallest that a permutation test can give: with d units on
    which the models differ, all of them are in favour of one with a chance of 2 / 2^d. Where no resample differs, as
    between models with the same answers, the interval is as wide as the share of differing answers that so many units
    may hide (Wilson).

    Args:
        value: The difference on all samples.
        resampled: The difference in each resample [R].
        units: The number of units that were resampled, at least 1; of units of unequal size the effective number.

        differing: The number of units on which the models differ.

    Returns:
        The difference.
    """
    from scipy.stats import norm, t

    freedom = max(units - 1, 1)
    # Sums in another order make no difference of two equal scores.
    resampled = np.round(resampled, 12)
    low, high = interval(resampled, units)
    if low == high:
        reach = float(wilson_bounds(0.0, units, t_quantile(1 - LEVEL / 2, freedom))[1])
        low, high = max(-1.0, value - reach), min(1.0, value + reach)
    tail = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    share = min(1.0, 2 * (tail + 1) / (len(resampled) + 1))
    p = float(2 * t.sf(norm.isf(share / 2) / _widening(freedom), freedom))
    p = max(p, min(1.0, 2.0 ** (1 - differing)))
    if p >= LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    spread = float(resampled.std(ddof=1))
    times = t_quantile(1 - LEVEL / 2, freedom) + t_quantile(POWER, freedom)
    detectable = _widening(freedom) * times * spread
    return PairedDifference(
        value=value,
        low=low,
        high=high,
        p=p,
        detectable=detectable if 0 < detectable <= 1 else None,
    )


def _widening(freedom: float) -> float:
    return math.sqrt(1 + 1 / freedom)


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the p-value of McNemar's exact test: are two models right equally often?

    It takes samples as independent of one another. Source: McNemar (1947), Psychometrika 12, 153-157.

    Args:
        only_one: Samples that the one alone has right.
        only_other: Samples that the other alone has right.

    Returns:
        The two-sided p-value; 1 where the models are right on the same samples.
    """
    from scipy.stats import binomtest

    if only_one + only_other == 0:
        return 1.0
    return float(binomtest(only_one, only_one + only_other, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the order given. Source: Holm (1979), Scand. J. Statist. 6, 65-70.

    Args:
        p_values: Of all comparisons that are made together.

    Returns:
        Corrected p-values: below a level where that comparison is significant although all others were made too.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def improvement(score: float, baseline: float) -> float | None:
    """Return the relative improvement over a baseline in percent; None over a baseline of 0.

    Args:
        score: Of the model.
        baseline: Of the other.
    """
    return None if baseline == 0 else 100 * (score - baseline) / baseline


def improvement_over_best(score: float, baselines: Sequence[float]) -> float | None:
    """Return the relative improvement over the best of the baselines in percent; None over 0, or over none.

    Args:
        score: Of the model.
        baselines: Scores of the others.
    """
    return improvement(score, max(baselines)) if baselines else None


def average_improvement(score: float, baselines: Sequence[float]) -> float | None:
    """Return the mean of the relative improvements over each baseline in percent.

    Baselines of 0 are left out, as in the paper's table.

    Args:
        score: Of the model.
        baselines: Scores of the others.
    """
    return mean([improvement(score, each) for each in baselines])


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are there; None without any.

    Args:
        values: Values, None for one that is not defined.
    """
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None
