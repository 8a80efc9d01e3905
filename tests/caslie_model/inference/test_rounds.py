from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from caslie_model.data.own_samples import own_task
from caslie_model.inference.questions import Question
from caslie_model.inference.rounds import OwnQuestion, Records, answer_in_rounds, questions_needed

CC = own_task("cc")


def likes(value: Callable[[str], float], asked: list[Question] | None = None) -> Callable[..., Records]:
    """Return what answers by a value of each option's words."""

    def ask(questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
        records = {}
        for question in questions:
            if asked is not None:
                asked.append(question)
            scores = {letter: value(words) for letter, words in question.sample.options.items()}
            best = max(scores, key=lambda letter: scores[letter])
            records[question.sample.id] = {
                "id": question.sample.id,
                "prediction": best if math.isfinite(scores[best]) else None,
                "scores": scores,
            }
        return records

    return ask


@pytest.mark.parametrize(("count", "at_once"), [(2, 10), (10, 10), (11, 10), (27, 26), (300, 10), (101, 2)])
def test_the_best_of_many_options_wins(count: int, at_once: int) -> None:
    options = tuple(f"category {number}" for number in range(count))
    asked: list[Question] = []
    best = options[count * 2 // 3]
    answer_of = likes(lambda words: 0.0 if words == best else -float(len(words)), asked)
    (answer,) = answer_in_rounds([OwnQuestion(CC, {"title": "mug"}, options)], at_once, answer_of)
    assert answer.answer == best
    assert answer.options[answer.label or ""] == best
    assert answer.questions == len(asked) == questions_needed(count, at_once)
    assert max(len(question.sample.options) for question in asked) <= at_once
    assert min(len(question.sample.options) for question in asked) >= min(2, count) or at_once == 2


def test_questions_of_different_lengths_are_answered_together() -> None:
    questions = [
        OwnQuestion(CC, {"title": f"mug {count}"}, tuple(f"{number:03}" for number in range(count)))
        for count in (2, 40, 5)
    ]
    answers = answer_in_rounds(questions, 6, likes(float))
    assert [answer.answer for answer in answers] == ["001", "039", "004"]
    assert [answer.questions for answer in answers] == [1, 10, 1]


def test_a_group_without_an_answer_is_out() -> None:
    options = tuple("abcdef")
    answer_of = likes(lambda words: -math.inf if words in "abc" else float(ord(words)))
    (answer,) = answer_in_rounds([OwnQuestion(CC, {"title": "mug"}, options)], 3, answer_of)
    assert answer.answer == "f"
    nothing = likes(lambda words: -math.inf)
    (answer,) = answer_in_rounds([OwnQuestion(CC, {"title": "mug"}, options)], 3, nothing)
    assert (answer.answer, answer.reason.partition(":")[0]) == (None, "not_finite")


def test_a_question_without_a_record_has_no_answer() -> None:
    (answer,) = answer_in_rounds([OwnQuestion(CC, {"title": "mug"}, ("a", "b"))], 9, lambda questions: {})
    assert (answer.answer, answer.reason.partition(":")[0]) == (None, "no_answer")


def test_a_text_that_is_no_answer_is_shown() -> None:
    def ask(questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
        return {each.sample.id: {"prediction": None, "text": "who knows"} for each in questions}

    (answer,) = answer_in_rounds([OwnQuestion(CC, {"title": "mug"}, ("a", "b"))], 9, ask)
    assert answer.reason == "unparsable: the model wrote 'who knows'"


def test_the_probability_is_the_share_among_the_allowed_answers() -> None:
    scores = {"a": math.log(0.06), "b": math.log(0.03), "c": math.log(0.01)}
    (answer,) = answer_in_rounds(
        [OwnQuestion(CC, {"title": "mug"}, tuple("abc"))], 9, likes(lambda words: scores[words])
    )
    assert answer.probability == pytest.approx(0.6)
    assert answer.scores == pytest.approx(scores)


def test_yes_and_no_need_no_options() -> None:
    def ask(questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
        return {
            each.sample.id: {"prediction": "no", "scores": {"yes": -3.0, "no": -1.0}} for each in questions
        }

    content = {"query": "mug", "product title": "lamp"}
    (answer,) = answer_in_rounds([OwnQuestion(own_task("psi"), content)], 9, ask)
    assert (answer.answer, answer.label, dict(answer.options)) == ("no", "no", {})
