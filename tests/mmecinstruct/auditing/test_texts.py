"""Which texts of a sample are compared, and how long they must be."""

from __future__ import annotations

import json

import pytest

from mmecinstruct.auditing.texts import content_texts, text_key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"title": "Red mug"}, [("title", "title", "Red mug")]),
        (
            {"product 1": "Mug", "product 2": "Pot"},
            [("product 1", "title", "Mug"), ("product 2", "title", "Pot")],
        ),
        (
            {"query": "mug", "product title": "Red mug"},
            [("query", "query", "mug"), ("product title", "title", "Red mug")],
        ),
        (
            {"question": "Why?", "document": ["It is.", "So."]},
            [
                ("question", "question", "Why?"),
                ("document", "review", "It is."),
                ("document", "review", "So."),
            ],
        ),
        (
            {"question": "Why?", "document": "It is."},
            [("question", "question", "Why?"), ("document", "review", "It is.")],
        ),
        ({"review": "Good."}, [("review", "review", "Good.")]),
        ({"caption": "A mug", "number": 3}, [("caption", "text", "A mug")]),
        (["1st: Mug", "2nd: 3rd: Pot"], [("history 1", "title", "Mug"), ("history 2", "title", "3rd: Pot")]),
        ("plain", [("input", "text", "plain")]),
        (7, []),
    ],
)
def test_fields_of_an_input_have_units(value: object, expected: list[tuple[str, str, str]]) -> None:
    assert content_texts(json.dumps(value), [], False) == expected


def test_an_input_without_json_is_one_text() -> None:
    assert content_texts("{half", [], False) == [("input", "text", "{half")]
    assert content_texts("[" * 100_000, [], False)[0][:2] == ("input", "text")


def test_options_are_titles_where_they_are_products() -> None:
    assert content_texts('["1st: Mug"]', ["A: Pot", "B: B: Pan"], True)[1:] == [
        ("option A", "title", "Pot"),
        ("option B", "title", "B: Pan"),
    ]
    assert content_texts('{"title": "Mug"}', ["A: Mugs"], False) == [("title", "title", "Mug")]


def test_keys_depend_on_the_unit() -> None:
    assert text_key("title", "red mug") != text_key("query", "red mug")
