"""Ranks, both ways of normalising and calibration, from the scores of all options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    brier_score_loss,
    label_ranking_average_precision_score,
    log_loss,
    ndcg_score,
    top_k_accuracy_score,
)

from caslie_model.data.samples import Sample
from caslie_model.evaluation.ranking import expected_calibration_error, ranking_figures

TASK = "sentiment_analysis"
Make = Callable[..., Sample]


def record(scores: dict[str, float | None], **changes: Any) -> dict[str, Any]:
    known = {label: value for label, value in scores.items() if value is not None}
    best = max(known, key=lambda label: known[label]) if known else None
    return {"prediction": best, "scores": scores, "tokens": dict.fromkeys(scores, 2), **changes}


def test_figures_are_those_of_scikit_learn(sample: Make) -> None:
    random = np.random.default_rng(3)
    letters = "ABCDEFGH"
    samples = [sample(i, str(random.choice(list(letters))), letters) for i in range(80)]
    scores = random.normal(size=(80, 8)) * 2
    records = {
        (s.id, ""): record({x: float(v) for x, v in zip(letters, row, strict=True)})
        for s, row in zip(samples, scores, strict=True)
    }
    found = ranking_figures(TASK, samples, records)
    gold = np.array([letters.index(s.output) for s in samples])
    wanted = np.eye(8)[gold]
    assert list(found["ranking"]["recall"]) == ["1", "3", "5"]
    for k, value in found["ranking"]["recall"].items():
        assert value == pytest.approx(top_k_accuracy_score(gold, scores, k=int(k), labels=range(8)))
    assert found["ranking"]["mrr"] == pytest.approx(label_ranking_average_precision_score(wanted, scores))
    assert found["ranking"]["ndcg"] == pytest.approx(ndcg_score(wanted, scores))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert found["calibration"]["samples"] == 80
    assert found["calibration"]["log_loss"] == pytest.approx(log_loss(gold, chances, labels=range(8)))
    assert found["calibration"]["brier"] == pytest.approx(((chances - wanted) ** 2).sum(axis=1).mean())
    assert found["ranking"]["accuracy_summed"] == pytest.approx((scores.argmax(axis=1) == gold).mean())


def test_brier_of_two_answers_is_twice_that_of_scikit_learn(sample: Make) -> None:
    samples = [sample(i, "AB"[i % 2], "AB") for i in range(6)]
    values = [0.1, 1.0, -0.4, 2.0, 0.3, -1.2]
    records = {(s.id, ""): record({"A": v, "B": 0.0}) for s, v in zip(samples, values, strict=True)}
    chance = [1 / (1 + math.exp(-v)) for v in values]
    expected = brier_score_loss([s.output == "A" for s in samples], chance)
    assert ranking_figures(TASK, samples, records)["calibration"]["brier"] == pytest.approx(2 * expected)


def test_summed_and_per_token_likelihood_come_from_one_record(sample: Make) -> None:
    samples = [sample(0, "A", "AB"), sample(1, "B", "AB")]
    long_a = record({"A": -4.0, "B": -3.0}, tokens={"A": 4, "B": 1})
    found = ranking_figures(TASK, samples, {(s.id, ""): long_a for s in samples})["ranking"]
    assert (found["accuracy_summed"], found["accuracy_per_token"]) == (0.5, 0.5)
    found = ranking_figures(TASK, samples[:1], {("s0", ""): long_a})["ranking"]
    assert (found["accuracy_summed"], found["accuracy_per_token"]) == (0.0, 1.0)
    assert (found["primary_summed"], found["primary_per_token"]) == (0.0, 1.0)


def test_records_without_scores_have_no_such_figures(sample: Make) -> None:
    assert ranking_figures(TASK, [sample(0)], {("s0", ""): {"prediction": "A", "text": "a"}}) == {}
    assert ranking_figures(TASK, [sample(0)], {}) == {}


def test_missing_and_not_finite_scores_rank_behind_all(sample: Make) -> None:
    samples = [sample(i, "A", "ABCDEF") for i in range(4)]
    scores = dict(zip("ABCDEF", (-1.0, -2.0, -3.0, -4.0, -5.0, -6.0), strict=True))
    records = {
        ("s0", ""): record(scores),
        ("s1", ""): record({**scores, "C": None}, prediction=None, not_finite=True),
        ("s2", ""): {"prediction": "A", "text": "a"},
    }
    found = ranking_figures(TASK, samples, records)
    assert found["ranking"]["recall"] == {"1": 0.25, "3": 0.25, "5": 0.25}
    assert found["ranking"]["mrr"] == found["ranking"]["accuracy_summed"] == 0.25
    assert found["calibration"]["samples"] == 1


def test_absent_labels_rank_last_and_are_counted(sample: Make) -> None:
    samples = [sample(i, "A", "ABCDE") for i in range(3)]
    records = {
        ("s0", ""): record({"A": -1.0, "B": -2.0}, absent=["C", "D", "E"]),
        ("s1", ""): record({"B": -1.0, "C": -2.0}, absent=["A", "D", "E"]),
        ("s2", ""): record(dict.fromkeys("ABCDE", -1.0)),
    }
    found = ranking_figures(TASK, samples, records)
    assert found["ranking"]["recall"] == pytest.approx({"1": 2 / 3, "3": 2 / 3})
    assert found["ranking"]["mrr"] == pytest.approx((1 + 1 / 5 + 1) / 3)
    assert (found["ranking"]["samples_with_absent_labels"], found["ranking"]["right_label_absent"]) == (2, 1)
    assert found["calibration"]["samples"] == 1


def test_scores_of_unknown_length_have_no_calibration(sample: Make) -> None:
    old = {"prediction": "A", "scores": dict.fromkeys("ABCDE", -1.0)}
    found = ranking_figures(TASK, [sample(0)], {("s0", ""): old})
    assert "calibration" not in found
    assert not any(name.startswith("accuracy") for name in found["ranking"])


def test_calibration_error_is_the_gap_within_bins() -> None:
    assert expected_calibration_error([0.95, 0.95, 0.55, 1.0], [1, 0, 1, 1]) == pytest.approx(
        (abs(0.95 + 0.95 + 1.0 - 2) + abs(0.55 - 1)) / 4
    )
