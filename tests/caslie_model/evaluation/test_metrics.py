from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from caslie_model.evaluation.metrics import Bootstrap, confusion, majority_label, wilson_interval
from caslie_model.evaluation.score import score_part
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


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(LETTERS), st.sampled_from([*LETTERS, None]), st.integers(0, 5)),
        min_size=1,
        max_size=40,
    )
)
def test_unparsable_answers_are_an_answer_of_no_label_to_scikit_learn(
    rows: list[tuple[str, str | None, int]],
) -> None:
    gold, answers = [row[0] for row in rows], [row[1] for row in rows]
    units = [str(row[2]) for row in rows]
    part = score_part("sentiment_analysis", gold, answers, LETTERS, "A", Bootstrap(20), units)
    given_labels = ["none" if answer is None else answer for answer in answers]
    occurring = sorted({*gold, *given_labels} - {"none"})
    expected = f1_score(gold, given_labels, labels=occurring, average="macro", zero_division=0)
    assert (part["primary"], part["macro_f1"]) == pytest.approx((expected, expected))
    assert part["accuracy"] == pytest.approx(accuracy_score(gold, given_labels))
    for name in ("primary", "accuracy"):
        low, high = part[f"{name}_interval"]
        assert 0 <= low <= part[name] <= high <= 1


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


def test_the_majority_label_is_the_first_of_several() -> None:
    assert majority_label(["no", "yes", "yes"]) == "yes"
    assert majority_label(["no", "yes"]) == "no"


def test_the_best_constant_is_found_where_the_majority_is_worthless() -> None:
    gold = ["yes"] * 4 + ["no"] * 6
    part = score_part("product_substitute_identification", gold, gold, ("yes", "no"), "no", Bootstrap(200))
    assert part["majority_primary"] == 0
    assert part["best_constant_primary"] == pytest.approx(2 * 0.4 / 1.4)


def test_rows_say_why_their_interval_is_in_doubt() -> None:
    gold = ["A"] * 97 + ["B"] * 3
    apart = score_part("sentiment_analysis", gold, gold, ("A", "B"), "A", Bootstrap(20))
    assert apart["doubts"] == ["B: 3 rows"]
    units = [str(number % 10) for number in range(100)]
    together = score_part(
        "multiclass_product_classification", gold, gold, ("A", "B"), "A", Bootstrap(20), units
    )
    assert together["doubts"] == ["10 units", "10.0 rows a unit"]
    units = [str(max(number, 20)) for number in range(100)]
    uneven = score_part(
        "multiclass_product_classification", gold, gold, ("A", "B"), "A", Bootstrap(20), units
    )
    assert uneven["doubts"] == ["80 units of unequal size, as good as 19"]
