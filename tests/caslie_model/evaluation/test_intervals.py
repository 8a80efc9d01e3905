"""Intervals that know of units, and the smallest difference that can be found."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caslie_model.evaluation.intervals import (
    Estimate,
    bootstrap_interval,
    detectable_difference,
    difference_interval,
    effective_units,
    estimate,
    estimate_share,
    mean_interval,
    t_quantile,
)
from caslie_model.evaluation.metrics import Bootstrap, confusion, primary, wilson_bounds
from caslie_model.evaluation.resampling import resampled_confusions, sample_weights

LETTERS = ("A", "B", "C", "D", "E")
METRICS = ("accuracy", "recall@1", "F1", "macro F1")


def rows(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def answered(count: int, seed: int, chance: float = 0.6) -> tuple[list[str], list[str | None]]:
    random = np.random.default_rng(seed)
    gold = [str(label) for label in random.choice(LETTERS, count)]
    return gold, [g if random.random() < chance else str(random.choice(LETTERS)) for g in gold]


Pairs = list[tuple[str, str | None, int]]
YES_NO_PAIRS = st.lists(
    st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["yes", "no", None]), st.integers(0, 6)),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None)
@given(YES_NO_PAIRS)
def test_the_value_is_the_metric_and_the_interval_holds_it(metric: str, pairs: Pairs) -> None:
    gold, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = estimate(metric, gold, answers, ("yes", "no"), [str(pair[2]) for pair in pairs])
    assert found.value == pytest.approx(
        primary(metric, confusion(gold, answers, ("yes", "no")), ("yes", "no"))
    )
    low, high = found.interval
    assert 0 <= low <= found.value <= high <= 1
    assert low < high


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(30)))
def test_intervals_do_not_depend_on_the_order_of_samples(order: list[int]) -> None:
    gold, answers = answered(30, 3)
    units = [str(number % 9) for number in range(30)]
    moved = [[values[i] for i in order] for values in (gold, answers, units)]
    here, there = (estimate("macro F1", g, a, LETTERS, u) for g, a, u in ((gold, answers, units), moved))
    assert here == there
    assert bootstrap_interval("macro F1", gold, answers, LETTERS, units, Bootstrap(50)) == bootstrap_interval(
        "macro F1", moved[0], moved[1], LETTERS, moved[2], Bootstrap(50)
    )


def test_repeated_samples_of_one_unit_say_nothing_new() -> None:
    gold, answers = answered(60, 5)
    once = estimate("macro F1", gold, answers, LETTERS, rows(60))
    repeated = estimate("macro F1", gold * 4, answers * 4, LETTERS, rows(60) * 4)
    naive = estimate("macro F1", gold * 4, answers * 4, LETTERS, rows(240))
    assert repeated.interval == pytest.approx(once.interval, abs=0.01)
    width, naive_width = (high - low for low, high in (repeated.interval, naive.interval))
    assert naive_width < 0.6 * width
    assert (repeated.units, naive.units) == (60, 240)


def test_the_standard_error_is_that_of_resampled_units() -> None:
    gold, answers = answered(300, 1)
    units = [str(number // 3) for number in range(300)]
    for metric in ("accuracy", "macro F1"):
        found = estimate(metric, gold, answers, LETTERS, units)
        weights = sample_weights(units, Bootstrap(2000, 3))
        values = primary(metric, resampled_confusions(weights, gold, answers, LETTERS), LETTERS)
        assert found.standard_error == pytest.approx(float(values.std()), rel=0.1)
        expected = tuple(np.percentile(values, [2.5, 97.5]))
        assert bootstrap_interval(metric, gold, answers, LETTERS, units, Bootstrap(2000, 3)) == expected
        assert found.interval == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("gold", ["yes", "yes no", "yes no no", "no"])
def test_an_interval_has_a_width_where_all_or_none_are_right(metric: str, right: bool, gold: str) -> None:
    golds = gold.split() * 8
    answers = golds if right else [{"yes": "no", "no": "yes"}[each] for each in golds]
    found = estimate(metric, golds, answers, ("yes", "no"), rows(len(golds)))
    low, high = found.interval
    assert 0 <= low <= found.value <= high <= 1
    assert high - low > 0.1
    if metric in ("accuracy", "recall@1"):
        bounds = wilson_bounds(float(right), len(golds), t_quantile(0.975, len(golds) - 1))
        assert found.interval == pytest.approx(bounds)


def test_an_interval_without_spread_shrinks_with_samples() -> None:
    widths = []
    for repeats in (1, 10, 100):
        golds = list(LETTERS) * repeats
        low, high = estimate("macro F1", golds, golds, LETTERS, rows(len(golds))).interval
        assert high == 1
        widths.append(high - low)
    assert widths[0] > 0.3
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.02


def test_a_constant_wrong_answer_leaves_f1_open_above() -> None:
    low, high = estimate("F1", ["yes"] * 4 + ["no"] * 6, ["no"] * 10, ("yes", "no"), rows(10)).interval
    assert low == 0
    assert 0.5 < high < 1


def test_one_unit_tells_nothing_of_others() -> None:
    assert estimate_share([True, True, False], ["u"] * 3) == Estimate(2 / 3, (0.0, 1.0), None, 1, 1.0)


@pytest.mark.parametrize(("chance", "largest", "count"), [(0.94, 15, 500), (0.9, 15, 100), (0.6, 5, 500)])
def test_an_interval_holds_where_errors_are_rare_and_units_large(
    chance: float, largest: int, count: int
) -> None:
    random = np.random.default_rng(6)
    repeats, held = 1500, 0
    for _ in range(repeats):
        units = np.repeat(np.arange(count), random.integers(1, largest + 1, count))[:count]
        # Half of the rows are answered as their unit is: a correlation of .25.
        of_units, own = random.random((2, count)) < chance
        right = np.where(random.random(count) < 0.5, of_units[units], own)
        low, high = estimate_share(right, [f"{unit:03}" for unit in units]).interval
        held += low <= chance <= high
    assert held / repeats >= 0.93


def test_rows_alone_are_units_of_one_size() -> None:
    found = estimate_share(np.arange(200) < 188, rows(200))
    assert found.effective_units == 200
    assert found.interval == pytest.approx(wilson_bounds(0.94, 200, t_quantile(0.975, 199)), abs=0.01)


def test_one_large_unit_makes_many_small_ones_count_less() -> None:
    sizes = np.array([100, *[1] * 400])
    assert effective_units(np.repeat(np.arange(401), sizes)) == pytest.approx(500**2 / sizes.dot(sizes))
    assert effective_units(np.repeat(np.arange(20), 3)) == 20


def test_a_paired_difference_is_narrower_than_two_figures() -> None:
    random = np.random.default_rng(2)
    own = random.random(400) < 0.7
    other = np.where(random.random(400) < 0.9, own, random.random(400) < 0.6)
    low, high = difference_interval(own.astype(float) - other, rows(400))
    assert low < own.mean() - other.mean() < high
    single = estimate_share(own, rows(400)).interval
    assert high - low < 0.8 * (single[1] - single[0])


def test_a_large_unit_widens_a_paired_difference_where_nothing_differs() -> None:
    even, uneven = ([str(unit) for unit in units] for units in (range(60), np.maximum(range(60), 20)))
    widths = [high - low for low, high in (difference_interval(np.zeros(60), u) for u in (even, uneven))]
    assert widths[1] > 2 * widths[0]


def test_where_nothing_differs_the_difference_is_bounded_by_the_units() -> None:
    low, high = difference_interval(np.zeros(100), [str(number // 10) for number in range(100)])
    assert high == -low
    assert 0.2 < high < 0.5


def test_a_test_finds_the_detectable_difference_in_four_of_five_cases() -> None:
    random = np.random.default_rng(4)
    count, repeats, level = 1000, 400, 0.6
    found = estimate_share(random.random(count) < level, rows(count))
    for correlation in (0.0, 0.5):
        gain = detectable_difference(found, correlation)
        assert gain is not None
        hits = 0
        for _ in range(repeats):
            # Both models share the draw of some samples, whose share is about the correlation of their errors.
            own = random.random(count)
            other = np.where(random.random(count) < correlation, own, random.random(count))
            differences = (own < level + gain).astype(float) - (other < level)
            error = differences.std(ddof=1) / math.sqrt(count)
            hits += abs(differences.mean()) > t_quantile(0.975, count - 1) * error
        assert hits / repeats == pytest.approx(0.8, abs=0.06)


def test_a_thousand_rows_do_not_resolve_gains_of_the_paper() -> None:
    found = estimate_share(np.arange(1000) < 700, rows(1000))
    assert detectable_difference(found) == pytest.approx(0.041, abs=0.002)
    assert (detectable_difference(found, 0.9) or 0) > 0.008


def test_all_right_still_has_a_detectable_difference() -> None:
    gain = detectable_difference(estimate_share([True] * 100, rows(100)))
    assert gain is not None
    assert 0.02 < gain < 0.1
    assert detectable_difference(estimate_share([True], ["u"])) is None


def test_a_difference_above_one_is_never_detectable() -> None:
    found = estimate("macro F1", ["A", "B"], ["A", "C"], LETTERS, rows(2))
    assert detectable_difference(found) is None


def test_an_interval_of_a_thousand_samples_takes_less_than_a_second() -> None:
    gold, answers = answered(1000, 8)
    start = time.process_time()
    estimate("macro F1", gold, answers, LETTERS, rows(1000))
    bootstrap_interval("macro F1", gold, answers, LETTERS, rows(1000), Bootstrap(1000))
    assert time.process_time() - start < 2


def test_the_interval_of_a_mean_of_zeros_and_ones_is_that_of_a_share() -> None:
    found = mean_interval(np.array([1.0] * 30 + [0.0] * 10))
    assert found == pytest.approx(wilson_bounds(0.75, 39, t_quantile(0.975, 39)))
    assert mean_interval(np.ones(40)) == pytest.approx(wilson_bounds(1.0, 40, t_quantile(0.975, 39)))
    assert mean_interval(np.array([0.5])) == (0.0, 1.0)


def test_the_interval_of_a_mean_holds_it_in_95_of_100_samples() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        low, high = mean_interval(random.choice([0.0, 0.25, 1.0], 60, p=[0.5, 0.2, 0.3]))
        held += low <= 0.35 <= high
    assert 0.92 < held / 400 < 0.99
