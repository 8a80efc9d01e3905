"""Intervals and standard errors that know of units: samples of one unit are left out together.

Every metric here is a mean of shares: accuracy is one, F1 is one (twice the right answers, among given and right ones),
macro F1 is the mean of those of all labels. Each unit is left out in turn (the jackknife); the deviations give the
standard error, the bias, and how the labels' shares vary together. The 95 % interval holds both of

* the value with that error, bias included, on the scale of the logit, with the t quantile of effective units - 1
  degrees of freedom: it covers where there are many labels of few rows;
* the labels' Wilson intervals, recovered into one of their mean (Zou and Donner 2008, Statistics in Medicine 27,
  1693-1702): it covers where the share of a rare label is near 0 or 1, and its spread says too little.

Units of several rows need more. Where few rows are wrong, a sample tends to show too little of how they depend on one
another: the correlation within units is taken a little larger than seen, by less the more units there are. Units of
unequal size are as few as Kish's effective number of them says; so many have the degrees of freedom. Rows that are
units of their own are left as they are.

`benchmarks/interval_coverage.py` simulates how often they hold the true value. Percentiles of a bootstrap do so less
often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caslie_model.evaluation.metrics import Bootstrap, Floats, answer_cells, wilson_bounds
from caslie_model.evaluation.resampling import unit_weights

# Assumed between the errors of two compared models, unit by unit: their answers are right and wrong together.
ASSUMED_CORRELATION = 0.5
# Fewer units, fewer rows of a label, or more rows a unit are marked: the interval was not shown to hold there.
FEW_UNITS, FEW_ROWS, MANY_ROWS = 30, 5, 8
# Added to the correlation within units: so much divided by the number of units, and at most.
ADDED_CORRELATION, MOST_ADDED = 3.0, 0.05

Cells = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and how exact it is.

    Attributes:
        value: The figure.
        interval: Its 95 % interval.
        standard_error: Its standard error; None where there are no two units.
        units: The number of units.
        effective_units: As many units of one size say as much.
    """

    value: float
    interval: tuple[float, float]
    standard_error: float | None
    units: int
    effective_units: float


def estimate(
    metric: str,
    gold: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    units: Sequence[str],
) -> Estimate:
    """Return a metric with its interval.

    Args:
        metric: accuracy, recall@1, F1 or macro F1.
        gold: Right labels.
        answers: Answered labels, None for no answer.
        labels: The L labels.
        units: The unit of each sample.

    Returns:
        The metric, its 95 % interval and standard error.

    Raises:
        ValueError: If there is no such metric, or a gold label is not among the labels.
    """
    _, unit_of = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    return estimate_cells(metric, answer_cells(gold, answers, labels), unit_of, labels)


def estimate_share(right: Sequence[bool] | npt.NDArray[np.bool_], units: Sequence[str]) -> Estimate:
    """Return a share of samples with its interval.

    Args:
        right: Whether each sample counts.
        units: The unit of each sample.

    Returns:
        The share, its 95 % interval and standard error.
    """
    gold = ["right"] * len(right)
    return estimate("accuracy", gold, ["right" if each else None for each in right], ("right",), units)


def estimate_cells(
    metric: str, cells: Cells, unit_of: npt.NDArray[np.intp], labels: Sequence[str]
) -> Estimate:
    """Return a metric with its interval.

    Args:
        metric: accuracy, recall@1, F1 or macro F1.
        cells: Cell of the confusion matrix of each answer [n], as `answer_cells` returns them.
        unit_of: Number of each answer's unit [n], from 0 on without gaps.
        labels: The L labels.

    Returns:
        The metric, its 95 % interval and standard error.

    Raises:
        ValueError: If there is no such metric.
    """
    above, below, weight = metric_shares(metric, cells, unit_of, labels)
    count, total = len(above), below.sum(axis=0)
    value = float(mean_share(above.sum(axis=0), total))
    effective = effective_units(unit_of)
    if count < 2 or not total.any():
        return Estimate(value, (0.0, 1.0), None, count, effective)
    occurs = total > 0
    above, below, total = above[:, occurs], below[:, occurs], total[occurs]
    tops, bottoms = above.sum(axis=0) - above, total - below
    without = mean_share(tops, bottoms)
    scale = (count - 1) / count
    error = math.sqrt(scale * float(((without - without.mean()) ** 2).sum()))
    bias = (count - 1) * (float(without.mean()) - value)
    quantile = t_quantile(0.975, max(effective - 1, 1))
    shares = above.sum(axis=0) / total
    added = 0.0
    if count < len(cells):
        added = _added_variance(metric_shares(metric, cells, np.arange(len(cells)), labels), occurs, unit_of)
    # A label of one unit: without that unit nothing is known of it.
    deviations = np.divide(tops, bottoms, out=np.broadcast_to(shares, tops.shape).copy(), where=bottoms > 0)
    deviations -= deviations.mean(axis=0)
    covariance = scale * deviations.T @ deviations
    covariance *= 1 + added / error**2 if error > 0 else 1.0
    # A share that never varies is one of as many trials as there are units of its label, or answers.
    trials = np.maximum(np.minimum(total * weight, (below > 0).sum(axis=0)), 1.0)
    bounds = [
        _logit_interval(value, math.sqrt(error**2 + added + bias**2), quantile, len(cells)),
        _recovered_interval(value, shares, covariance, trials, quantile),
    ]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    return Estimate(value, (max(low, 0.0), min(high, 1.0)), error, count, effective)


def effective_units(unit_of: npt.NDArray[np.intp]) -> float:
    """Return how many units of one size say as much. Source: Kish (1965), Survey Sampling.

    Args:
        unit_of: Number of each row's unit [n], from 0 on without gaps.

    Returns:
        The number; 0 without rows.
    """
    sizes = np.bincount(unit_of).astype(np.float64)
    return float(sizes.sum() ** 2 / sizes.dot(sizes)) if len(sizes) else 0.0


def _added_variance(
    rows: tuple[Floats, Floats, float], occurs: npt.NDArray[np.bool_], unit_of: npt.NDArray[np.intp]
) -> float:
    """Return the variance that a larger correlation within units adds to a mean of shares.

    Args:
        rows: What the shares are made of, for each row.
        occurs: Which shares have a denominator [S].
        unit_of: Number of each row's unit [n].
    """
    above, below = (part[:, occurs] for part in rows[:2])
    total = below.sum(axis=0)
    influence = ((above - above.sum(axis=0) / total * below) / total).mean(axis=1)
    sizes = np.bincount(unit_of)
    correlation = min(ADDED_CORRELATION / len(sizes), MOST_ADDED)
    return correlation * float(influence.dot(influence)) / len(influence) * float(sizes.dot(sizes - 1))


def resampled_metrics(parts: Sequence[tuple[Floats, Floats]], bootstrap: Bootstrap) -> list[Floats]:
    """Return metrics over the same resamples of units.

    Args:
        parts: Numerators and denominators [U, S] of each metric's shares.
        bootstrap: Number of resamples R, and their seed.

    Returns:
        Each metric in each resample [R].
    """
    found: list[list[Floats]] = [[] for _ in parts]
    for weights in unit_weights(len(parts[0][0]), bootstrap):
        for each, (above, below) in zip(found, parts, strict=True):
            each.append(mean_share(weights @ above, weights @ below))
    return [np.concatenate(each) for each in found]


def bootstrap_interval(
    metric: str,
    gold: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    units: Sequence[str],
    bootstrap: Bootstrap,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a metric over resampled units.

    Args:
        metric: accuracy, recall@1, F1 or macro F1.
        gold: Right labels.
        answers: Answered labels, None for no answer.
        labels: The L labels.
        units: The unit of each sample.
        bootstrap: Number of resamples, and their seed.

    Returns:
        Lower and upper bound.
    """
    _, unit_of = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    above, below, _ = metric_shares(metric, answer_cells(gold, answers, labels), unit_of, labels)
    [resampled] = resampled_metrics([(above, below)], bootstrap)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def difference_interval(differences: Floats, units: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of a mean of paired differences, by leaving out each unit.

    Args:
        differences: One a sample, from -1 to 1 [n].
        units: The unit of each sample.

    Returns:
        Lower and upper bound. Where nothing differs, the largest share that so many units leave possible.
    """
    names, unit_of = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    count = len(names)
    if count < 2:
        return -1.0, 1.0
    effective = effective_units(unit_of)
    quantile = t_quantile(0.975, max(effective - 1, 1))
    mean = float(np.mean(differences))
    if not np.any(differences):
        reach = float(wilson_bounds(0.0, effective, quantile)[1])
    else:
        sums, sizes = np.bincount(unit_of, differences), np.bincount(unit_of)
        without = (sums.sum() - sums) / (len(differences) - sizes)
        error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
        # One more difference either way: where all are equal, their spread says too little.
        reach = quantile * max(error, 1 / len(differences))
    return max(mean - reach, -1.0), min(mean + reach, 1.0)


def mean_interval(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of a mean over units: Wilson's, of as many trials as their spread says.

    Args:
        values: One a unit, from 0 to 1 [n].

    Returns:
        Lower and upper bound; all that is possible where there are no two units.
    """
    count = len(values)
    if count < 2:
        return 0.0, 1.0
    mean, variance = float(values.mean()), float(values.var(ddof=1)) / count
    own = mean * (1 - mean)
    # Where all are equal, each is a trial.
    trials = own / variance if variance > 0 and own > 0 else float(count)
    low, high = wilson_bounds(mean, trials, t_quantile(0.975, count - 1))
    return float(low), float(high)


def detectable_difference(found: Estimate, correlation: float = ASSUMED_CORRELATION) -> float | None:
    """Return the smallest true difference of two models that a paired test finds in 80 of 100 cases, at 5 % two-sided.

    (t(.975) + t(.8)) times the standard error of the difference. That is the figure's own times √(2 (1 - correlation)),
    if the other model's figure is as exact.

    Args:
        found: The figure of one model.
        correlation: Between the errors of the two models' figures.

    Returns:
        The difference; None where the standard error is unknown, or the difference would be above 1.
    """
    if found.standard_error is None:
        return None
    freedom = max(found.effective_units - 1, 1)
    low, high = found.interval
    # No error was seen where all answers are right or wrong; the interval says what is possible.
    error = found.standard_error or (high - low) / 2 / t_quantile(0.975, freedom)
    times = t_quantile(0.975, freedom) + t_quantile(0.8, freedom)
    difference = times * error * math.sqrt(2 * (1 - correlation))
    return difference if difference <= 1 else None


def t_quantile(chance: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution.

    Args:
        chance: Of a value below the quantile.
        freedom: Degrees of freedom.

    Returns:
        The quantile.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, chance))


def metric_shares(
    metric: str, cells: Cells, unit_of: npt.NDArray[np.intp], labels: Sequence[str]
) -> tuple[Floats, Floats, float]:
    """Return what a metric's shares are made of, for each of U units.

    Args:
        metric: accuracy, recall@1, F1 or macro F1.
        cells: Cell of the confusion matrix of each answer [n], as `answer_cells` returns them.
        unit_of: Number of each answer's unit [n], from 0 on without gaps.
        labels: The L labels.

    Returns:
        Numerators and denominators [U, S], S being 1 or L, and the trials that one in a denominator stands for.

    Raises:
        ValueError: If there is no such metric.
    """
    size = len(labels)
    count = int(unit_of.max()) + 1 if len(unit_of) else 0
    gold, answered = np.divmod(cells, size + 1)
    right, is_answer = gold == answered, answered < size
    if metric in ("accuracy", "recall@1"):
        rows = np.bincount(unit_of, minlength=count).astype(np.float64)
        hits = np.bincount(unit_of, right, minlength=count).astype(np.float64)
        return hits[:, None], rows[:, None], 1.0
    if metric not in ("F1", "macro F1"):
        raise ValueError(f"no metric '{metric}'")
    there = _tally(unit_of, gold, count, size)
    given = _tally(unit_of[is_answer], answered[is_answer], count, size)
    above, below = 2 * _tally(unit_of[right], gold[right], count, size), there + given
    if metric == "F1":
        yes = list(labels).index("yes")
        above, below = above[:, [yes]], below[:, [yes]]
    return above, below, 0.5


def _tally(unit_of: npt.NDArray[np.intp], columns: Cells, count: int, size: int) -> Floats:
    flat = np.bincount(unit_of * size + columns, minlength=count * size)
    return flat.reshape(count, size).astype(np.float64)


def mean_share(above: Floats, below: Floats) -> Floats:
    """Return the mean of the shares that have a denominator; 0 where none has.

    Args:
        above: Numerators [..., S].
        below: Denominators [..., S].

    Returns:
        Means [...].
    """
    has = below > 0
    shares = np.divide(above, below, out=np.zeros_like(above), where=has)
    return np.asarray(shares.sum(axis=-1) / np.maximum(has.sum(axis=-1), 1))


def _logit_interval(value: float, error: float, quantile: float, rows: int) -> tuple[float, float]:
    from scipy.special import expit

    centre = min(max(value, 0.5 / rows), 1 - 0.5 / rows)
    logit = math.log(centre / (1 - centre))
    reach = quantile * error / (centre * (1 - centre))
    return float(expit(logit - reach)), float(expit(logit + reach))


def _recovered_interval(
    value: float, shares: Floats, covariance: Floats, trials: Floats, quantile: float
) -> tuple[float, float]:
    """Return the interval of a mean of shares from their own Wilson intervals and correlations."""
    variance = np.diag(covariance)
    own = shares * (1 - shares)
    known = (variance > 0) & (own > 0)
    trials = np.divide(own, variance, out=trials.copy(), where=known)
    lows, highs = wilson_bounds(shares, trials, quantile)
    errors = np.sqrt(np.outer(variance, variance))
    correlation = np.divide(covariance, errors, out=np.zeros_like(covariance), where=errors > 0)
    np.fill_diagonal(correlation, 1.0)
    below, above = shares - lows, highs - shares
    return (
        value - math.sqrt(max(float(below @ correlation @ below), 0.0)) / len(shares),
        value + math.sqrt(max(float(above @ correlation @ above), 0.0)) / len(shares),
    )
