"""Crafted predictions whose released-scorer numbers are worked out by hand."""

from __future__ import annotations

import pytest
from sklearn.metrics import f1_score

from caslie_model.evaluation.lenient import lenient_scores, with_lenient

MPC, AP, SA, PRP = (
    "multiclass_product_classification",
    "answerability_prediction",
    "sentiment_analysis",
    "product_relation_prediction",
)


def test_unparsable_answers_leave_the_denominator() -> None:
    gold = ["A", "B"] * 50
    texts = gold[:46] + ["B", "A", "B", "A"] + ["I do not know."] * 50
    assert lenient_scores(MPC, gold, texts) == {"metric": "accuracy", "released_score": 0.92, "skipped": 50}


def test_a_file_cut_short_is_scored_on_what_it_holds() -> None:
    gold = ["A", "B", "C", "D"] * 5
    found = lenient_scores(MPC, gold, [*gold[:3], *[None] * 17])
    assert (found["released_score"], found["skipped"]) == (1.0, 0)


def test_the_first_character_of_a_text_with_a_colon_is_the_answer() -> None:
    # B, which the text never meant: wrong where D is right, and right where B is.
    found = lenient_scores(MPC, ["D", "B"], ["Based on the query: D", "Based on the query: D"])
    assert (found["released_score"], found["skipped"]) == (0.5, 0)
    assert lenient_scores(MPC, ["B", "B"], ["B: positive", " B \n"])["released_score"] == 1.0


def test_no_with_a_capital_is_no_answer() -> None:
    gold = ["yes", "yes", "no", "no"]
    found = lenient_scores(AP, gold, ["yes", "Yes", "No", "yes."])
    assert (found["released_score"], found["skipped"]) == (1.0, 3)
    # One yes right, one missed, one given to a no: 2 / (2 + 1 + 1).
    assert lenient_scores(AP, gold, ["yes", "no", "yes", "no"])["released_score"] == 0.5


def test_without_any_yes_the_released_code_fails() -> None:
    assert lenient_scores(AP, ["yes", "no"], ["maybe", "no"])["released_score"] is None
    assert lenient_scores(MPC, ["A"], ["?"])["released_score"] is None


def test_a_legal_option_that_is_nowhere_right_is_skipped() -> None:
    found = lenient_scores(SA, ["A", "A", "B"], ["A", "C", "B"])
    assert (found["released_score"], found["skipped"]) == (1.0, 1)


def test_macro_f1_is_that_of_the_answers_that_are_left() -> None:
    gold, texts = ["A", "A", "B", "C", "C"], ["A", "B", "B", "C: similar", "similar"]
    # A: 2/3, B: 2/3, C: 1.
    found = lenient_scores(PRP, gold, texts)
    assert found["released_score"] == pytest.approx(7 / 9)
    assert found["released_score"] == pytest.approx(f1_score(list("AABC"), list("ABBC"), average="macro"))
    assert found["skipped"] == 1


def test_the_column_says_what_it_is_and_how_many_were_skipped() -> None:
    row = {"lenient": {"metric": "accuracy", "released_score": 0.92, "skipped": 50}}
    columns, rows = with_lenient(("task",), [("mpc",), ("mpc",), ("sa",)], [row, {}, {"lenient": None}])
    assert columns == ("task", "released scorer")
    assert rows == [("mpc", "0.920 (50 skipped)"), ("mpc", "–"), ("sa", "–")]
    assert with_lenient(("task",), [("mpc",)], [{}]) == (("task",), [("mpc",)])
