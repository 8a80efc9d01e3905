from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from caslie_model.data.answers import allowed_labels, parse_answer, split_options, written_answer
from mmecinstruct.core.errors import DatasetError

OPTIONS = {"A": "very positive", "B": "positive", "C": "a red mug", "D": "Negative!"}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B", "B"),
        ("b", "B"),
        (" B.\n", "B"),
        ("B:", "B"),
        ("(B)", "B"),
        ("B) positive", "B"),
        ("B. positive", "B"),
        ("B: whatever else", "B"),
        ("Answer: B", "B"),
        ("The correct answer is B.", "B"),
        ("Option (C).", "C"),
        ("\n\nB\nbecause", "B"),
        ("\n\nB\nC", None),
        ("positive", "B"),  # not a letter, but plainly one option
        ("Based on the query: D", None),
        ("A red mug", "C"),  # the article is no letter
        ("A blue mug", None),
        ("B positive", None),
        ("B: negative", None),  # letter and words contradict each other
        ("A: B", None),
        ("A, B", None),
        ("A or B", None),
        ("E", None),  # not among the options
        ("", None),
        ("\n  \n", None),
    ],
)
def test_letter_answers(text: str, label: str | None) -> None:
    assert parse_answer(text, OPTIONS, "letter") == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("very positive", "A"),
        ("Positive.", "B"),
        ('"A  RED mug"', "C"),
        ("negative", "D"),
        ("ｎｅｇａｔｉｖｅ", "D"),
        ("The answer is: positive", "B"),
        ("positive\nis it", "B"),
        ("positive\nvery positive", None),
        ("C", "C"),
        ("C: a red mug", "C"),
        ("positive or negative", None),
        ("very", None),
        ("not negative", None),
    ],
)
def test_text_answers(text: str, label: str | None) -> None:
    assert parse_answer(text, OPTIONS, "text") == label


def test_words_go_before_letters_where_words_are_asked_for() -> None:
    sizes = {"A": "B", "B": "A"}
    assert parse_answer("A", sizes, "text") == "B"
    assert parse_answer("A", sizes, "letter") == "A"


def test_words_that_two_options_share_are_no_answer() -> None:
    options = {"A": "lamp", "B": "Mug", "C": "mug", "D": "lamp"}
    assert parse_answer("mug", options, "text") == "C"
    assert parse_answer("MUG", options, "text") is None
    assert parse_answer("lamp", options, "text") is None


CASES = [
    json.loads(line)
    for name in ("answers.jsonl", "traps.jsonl", "thoughts.jsonl")
    for line in (Path(__file__).parent / "answers" / name).read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['id']} {case['why']}" for case in CASES])
def test_answers_mean_what_an_honest_reader_takes_them_for(case: dict[str, Any]) -> None:
    options = split_options(case["options"], case["id"])
    assert parse_answer(case["text"], options, case["answers"]) == case["right"]


@pytest.mark.parametrize(
    "text",
    [
        "yes, ",
        "no. ",
        "(A) ",
        "A: ",
        "The answer is ",
        "B, ",
        "[",
        "**",
        "or ",
        "a (B) ",
        "\\boxed{",
        "<think>",
        "B\n",
    ],
)
def test_a_model_that_repeats_itself_is_read_in_no_time(text: str) -> None:
    for options in ({}, OPTIONS):
        assert parse_answer(text * 2_000, options, "text") in (None, *allowed_labels(options))


@pytest.mark.parametrize("answers", ["letter", "text"])
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("yes", "yes"),
        ("No", "no"),
        ("YES.", "yes"),
        ("no, because it is small", "no"),
        ("Yes\nyes", "yes"),
        ("Yes\nno", None),
        ("not sure", None),
        ("No idea", None),
        ("yes and no", None),
        ("nope", None),
        ("y", None),
        ("", None),
    ],
)
def test_yes_no_answers(text: str, label: str | None, answers: str) -> None:
    assert parse_answer(text, {}, answers) == label


def test_options_are_read_with_their_letters() -> None:
    options = split_options(["A: one", "B:  two\nlines", "C: "], "s1")
    assert options == {"A": "one", "B": "two lines", "C": ""}
    assert allowed_labels(options) == ("A", "B", "C")
    assert allowed_labels({}) == ("yes", "no")


@pytest.mark.parametrize("options", [["one"], ["A: one", "A: two"], ["a: one"]])
def test_damaged_options_name_the_sample(options: list[str]) -> None:
    with pytest.raises(DatasetError, match="sample s1"):
        split_options(options, "s1")


def test_every_written_answer_parses_back() -> None:
    options = {"A": "x", "B": "Mug (red)", "C": "", "D": "5.0 stars", "E": "The answer is: none"}
    for answers in ("letter", "text"):
        for label in options:
            assert parse_answer(written_answer(label, options, answers), options, answers) == label
    for label in ("yes", "no"):
        assert parse_answer(written_answer(label, {}, "text"), {}, "text") == label


PIECES = [
    *(
        "yes",
        "no",
        "B",
        "(B)",
        "A: ",
        "not ",
        "The answer is ",
        "So ",
        "so the answer is ",
        "\\boxed{",
        "}",
        "{",
        '{"answer": "',
    ),
    *(
        '"}',
        "```\n",
        "```json\n",
        "\n",
        " ",
        ". ",
        ", ",
        "<think>",
        "</think>",
        "答案是",
        "です",
        "Ja",
        "Antwort: ",
        "\u27e6",
        "\u27e7",
    ),
    *(
        "wait ",
        "if ",
        "because ",
        "positive",
        "or ",
        "\\text{",
        "$",
        "**",
        "\ufb01",
        "\u0130",
        "0",
        "\x00",
        "\u2028",
        "[",
        "(",
        "I ",
    ),
]


@settings(max_examples=300, deadline=None)
@given(
    strategies.lists(strategies.sampled_from(PIECES) | strategies.text(max_size=5), max_size=40).map("".join)
)
def test_any_text_is_read_as_an_allowed_label_or_none(text: str) -> None:
    for options in ({}, OPTIONS):
        for answers in ("letter", "text"):
            assert parse_answer(text, options, answers) in (None, *allowed_labels(options))


@pytest.mark.parametrize(
    "piece",
    [
        "The answer is ",
        "A: ",
        "(B) ",
        "\\boxed{B} ",
        '{"answer": ',
        "[[",
        "A: x\n",
        "the answer is B. ",
        "{\n",
        "だです",
        "no. ",
    ],
)
def test_a_hundred_thousand_characters_are_read_at_once(piece: str) -> None:
    """In time that grows with the text, not with its square: twice the limit is left to slow machines."""
    options = {letter: f"thing number {letter}" for letter in "ABCDEFGHIJKLMNOPQRST"}
    text = piece * (100_000 // len(piece))
    for allowed in (options, {}):
        begin = time.process_time()
        parse_answer(f"{text}\nSo the answer is B.", allowed, "text")
        assert time.process_time() - begin < 0.4
