from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from caslie_model.evaluation.metrics import (
    Bootstrap,
    bootstrap_interval,
    confusion,
    majority_label,
    primary,
    score_part,
    wilson_interval,
)
from mmecinstruct.tasks import TASKS, Task

RANDOM = np.random.default_rng(7)
LETTERS = ("A", "B", "C", "D", "E")


@pytest.mark.parametrize("task", TASKS.values())
def test_the_metric_of_every_task_can_be_computed(task: Task) -> None:
    labels = task.labels or LETTERS
    part = score_part(task.name, labels, labels, labels, labels[0], Bootstrap(20))
    assert (part["metric"], part["primary"]) == (task.metric, 1)


@pytest.mark.parametrize("labels", [("yes", "no"), LETTERS])
def test_figures_are_those_of_scikit_learn(labels: tuple[str, ...]) -> None:
    gold = [str(label) for label in RANDOM.choice(labels, 200)]
    answers = [g if RANDOM.random() < 0.6 else str(RANDOM.choice(labels)) for g in gold]
    task = "answerability_prediction" if len(labels) == 2 else "sentiment_analysis"
    part = score_part(task, gold, answers, labels, labels[0], Bootstrap(200))
    precision, recall, f1, _ = precision_recall_fscore_support(gold, answers, average="macro")
    assert part["accuracy"] == pytest.approx(accuracy_score(gold, answers))
    assert (part["macro_precision"], part["macro_recall"]) == pytest.approx((precision, recall))
    assert part["macro_f1"] == pytest.approx(f1)
    expected = f1_score(gold, answers, pos_label="yes") if len(labels) == 2 else f1
    assert part["primary"] == pytest.approx(expected)
    assert part["majority_accuracy"] == pytest.approx(gold.count(labels[0]) / 200)


def test_unparsable_answers_stay_in_the_denominator() -> None:
    gold = ["A"] * 100
    answers: list[str | None] = ["A"] * 46 + ["B"] * 4 + [None] * 50
    part = score_part("category_classification", gold, answers, LETTERS, "A", Bootstrap(200))
    assert part["primary"] == part["accuracy"] == 0.46


def test_unparsable_answers_cost_recall_of_their_class() -> None:
    gold = ["A", "A", "B", "B"]
    part = score_part("sentiment_analysis", gold, ["A", "A", None, None], LETTERS, "A", Bootstrap(200))
    assert part["primary"] == pytest.approx(0.5)


def test_babble_on_every_no_does_not_make_a_perfect_f1() -> None:
    gold = ["yes"] * 5 + ["no"] * 5
    answers = ["yes"] * 5 + [None] * 5
    part = score_part("answerability_prediction", gold, answers, ("yes", "no"), "yes", Bootstrap(200))
    assert part["accuracy"] == 0.5
    assert part["primary"] == pytest.approx(2 / 3)  # as if each had been answered yes


def test_an_allowed_answer_that_is_never_right_counts_as_wrong() -> None:
    counts = confusion(["A", "A"], ["A", "C"], LETTERS)
    assert counts[0].tolist() == [1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(("right", "total"), [(8, 10), (1, 3), (50, 400)])
def test_the_wilson_interval_ends_where_the_share_is_just_not_rejected(right: int, total: int) -> None:
    for bound in wilson_interval(right, total):
        deviation = (bound * (1 - bound) / total) ** 0.5
        assert abs(right / total - bound) == pytest.approx(1.959964 * deviation, rel=1e-5)


def test_the_wilson_interval_stays_within_shares() -> None:
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == pytest.approx(1)
    assert wilson_interval(10, 10)[1] <= 1


def test_the_bootstrap_agrees_with_resampling_the_samples() -> None:
    gold = [str(label) for label in RANDOM.choice(LETTERS, 150)]
    answers = [g if RANDOM.random() < 0.5 else str(RANDOM.choice(LETTERS)) for g in gold]
    counts = confusion(gold, answers, LETTERS)
    low, high = bootstrap_interval("macro F1", counts, LETTERS, Bootstrap(4000, 3))
    generator = np.random.default_rng(1)
    values = []
    for _ in range(800):
        rows = generator.integers(0, 150, 150)
        resampled = confusion([gold[i] for i in rows], [answers[i] for i in rows], LETTERS)
        values.append(float(primary("macro F1", resampled, LETTERS)))
    assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=0.015)
    assert (low, high) == bootstrap_interval("macro F1", counts, LETTERS, Bootstrap(4000, 3))


def test_the_majority_label_is_the_first_of_several() -> None:
    assert majority_label(["no", "yes", "yes"]) == "yes"
    assert majority_label(["no", "yes"]) == "no"


def test_the_best_constant_is_found_where_the_majority_is_worthless() -> None:
    gold = ["yes"] * 4 + ["no"] * 6
    part = score_part("product_substitute_identification", gold, gold, ("yes", "no"), "no", Bootstrap(200))
    assert part["majority_primary"] == 0
    assert part["best_constant_primary"] == pytest.approx(2 * 0.4 / 1.4)


@pytest.mark.parametrize("metric", ["accuracy", "recall@1", "F1", "macro F1"])
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("gold", ["yes", "yes no", "yes no no", "no"])
def test_an_interval_has_a_width_where_all_or_none_are_right(metric: str, right: bool, gold: str) -> None:
    labels = ["yes", "no"]
    golds = gold.split() * 8
    answers = golds if right else [{"yes": "no", "no": "yes"}[each] for each in golds]
    counts = confusion(golds, answers, labels)
    low, high = bootstrap_interval(metric, counts, labels, Bootstrap())
    assert 0 <= low < high <= 1
    assert low <= primary(metric, counts, labels) <= high
    if metric in ("accuracy", "recall@1"):
        assert (low, high) == pytest.approx(wilson_interval(len(golds) * right, len(golds)))


def test_an_interval_without_spread_shrinks_with_samples() -> None:
    labels = list("ABCDE")
    widths = []
    for repeats in (1, 10, 100):
        golds = labels * repeats
        low, high = bootstrap_interval("macro F1", confusion(golds, golds, labels), labels, Bootstrap())
        assert high == 1
        widths.append(high - low)
    assert widths[0] > 0.3
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.02


def test_a_constant_wrong_answer_leaves_f1_open_above() -> None:
    counts = confusion(["yes"] * 4 + ["no"] * 6, ["no"] * 10, ["yes", "no"])
    low, high = bootstrap_interval("F1", counts, ["yes", "no"], Bootstrap())
    assert low == 0
    assert 0.5 < high < 1
