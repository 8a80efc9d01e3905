"""AmazonQA questions and MAVE category labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.sources import ParsedBatch, parse_file, source_files
from mmecinstruct.sources.amazonqa import category_name
from mmecinstruct.sources.settings import AmazonQaSource, MaveSource

QUESTION: dict[str, Any] = {
    "asin": "B1",
    "category": "Sports_and_Outdoors",
    "questionText": "Does it float?",
    "questionType": "yesno",
    "review_snippets": ["It floats &amp; glides.", "", "Fun."],
    "answers": [{"answerText": "Yes", "answerType": "Y", "helpful": [1, 2]}],
    "is_answerable": 1,
    "qid": 5,
}


def parse(tmp_path: Path, source: AmazonQaSource | MaveSource, lines: list[dict[str, Any]]) -> ParsedBatch:
    path = tmp_path / source.path
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (batch,) = parse_file(source, source_files(source, tmp_path)[0])
    return batch


QA = AmazonQaSource(kind="amazonqa", path="train-qar.jsonl")
MAVE = MaveSource(kind="mave", path="labels.jsonl")


def test_a_question_is_read(tmp_path: Path) -> None:
    batch = parse(tmp_path, QA, [QUESTION])
    assert batch.tables["questions"].to_pylist() == [
        {
            "question_id": "amazonqa:B1:5",
            "product_id": "amazon18:B1",
            "category": "Sports & Outdoors",
            "question": "Does it float?",
            "document": ["It floats & glides.", "Fun."],
            "answerable": True,
            "origin": "train-qar.jsonl:1",
        }
    ]


def test_questions_of_files_with_equal_numbers_stay_apart(tmp_path: Path) -> None:
    ids = [
        parse(tmp_path, QA, [QUESTION | {"asin": asin}]).tables["questions"]["question_id"][0].as_py()
        for asin in ("B1", "B2")
    ]
    assert ids == ["amazonqa:B1:5", "amazonqa:B2:5"]


@pytest.mark.parametrize(
    ("given", "answerable"),
    [(0, False), (1, True), (False, False), ("1", True), ("False", False), ("yes", True)],
)
def test_answerability_is_a_number_a_boolean_or_a_word(
    tmp_path: Path, given: object, answerable: bool
) -> None:
    batch = parse(tmp_path, QA, [QUESTION | {"is_answerable": given}])
    assert batch.tables["questions"]["answerable"].to_pylist() == [answerable]


def test_questions_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    changes = [
        {"is_answerable": 2},
        {"questionText": ""},
        {"qid": None},
        {"asin": ""},
        {"review_snippets": None},
    ]
    batch = parse(tmp_path, QA, [QUESTION | change for change in changes])
    reasons = [(r.reason, r.origin.rpartition(":")[2]) for r in batch.rejections]
    assert reasons == [("bad_label", "1"), ("missing_text", "2"), ("missing_id", "3"), ("missing_id", "4")]
    assert batch.tables["questions"]["document"].to_pylist() == [[]]


def test_fields_that_only_the_test_file_has_are_not_read(tmp_path: Path) -> None:
    more = {"random_sentence": ["A"], "top_sentences_IR": ["B"], "top_review_wilson": "C"}
    batch = parse(tmp_path, QA, [QUESTION | more, QUESTION | more | {"review_snippets": "One text."}])
    assert batch.tables["questions"]["document"].to_pylist() == [
        ["It floats & glides.", "Fun."],
        ["One text."],
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_each_question_in_the_form_of_squad_is_counted_and_has_no_product(
    tmp_path: Path, wrapped: bool
) -> None:
    asked = [{"id": n, "question": f"Does it {n}?", "is_impossible": False, "answers": []} for n in range(3)]
    article = {
        "title": "AmazonDataset",
        "paragraphs": [{"context": "It does.", "qas": asked}, {"qas": asked[:1]}, {"qas": "none"}, 5],
    }
    batch = parse(tmp_path, QA, [{"version": "2", "data": [article]} if wrapped else article, QUESTION])
    assert [(r.reason, r.origin) for r in batch.rejections] == [("missing_id", "train-qar.jsonl:1")] * 4
    assert "*-qar.jsonl: 'Does it 2?'" in batch.rejections[2].detail
    assert (batch.records, batch.kept) == (5, 1)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Tools_and_Home_Improvement", "Tools & Home Improvement"),
        ("Clothing_Shoes_and_Jewelry", "Clothing, Shoes & Jewelry"),
        ("Electronics", "Electronics"),
        ("Garden & Outdoor", "Garden & Outdoor"),
        ("", None),
        (None, None),
    ],
)
def test_categories_are_named_as_the_metadata_names_them(given: object, name: str | None) -> None:
    assert category_name(given) == name


def test_labels_give_the_fine_category(tmp_path: Path) -> None:
    label = {"id": "B1", "category": "Guitar &amp; Bass Strings", "attributes": [{"key": "Gauge"}]}
    batch = parse(tmp_path, MAVE, [label, label | {"category": ""}, label | {"id": None}])
    assert batch.tables["category_labels"].to_pylist() == [
        {"product_id": "amazon18:B1", "fine_category": "Guitar & Bass Strings", "category_path": []}
    ]
    assert [(r.reason, r.record_id) for r in batch.rejections] == [
        ("missing_category", "amazon18:B1"),
        ("missing_id", ""),
    ]
