"""AmazonQA: questions with review snippets, and whether the snippets answer them.

`is_answerable` is predicted by the publisher's classifier; no person labelled it. Of the texts beside a question only
`review_snippets` is read: the others (random_sentence, top_sentences_IR, …) are in the test file only, so a test that
used them would differ from training.

A question's number (`qid`) is unique within its file. The publisher calls it unique in the whole dataset, but the only
published script that numbers questions starts from 0 in each file; so ids include the product.

The publisher's SQuAD variant (one object with `paragraphs`) names no product: each of its questions is counted and
rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from mmecinstruct.sources import amazon2018
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import text_value, truth_value
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.text.normalise import html_to_text

PREFIX = "amazonqa"

# Categories are file names; the metadata's names of these categories have commas.
_NAMES_WITH_COMMAS = {
    "Clothing_Shoes_and_Jewelry": "Clothing, Shoes & Jewelry",
    "Patio_Lawn_and_Garden": "Patio, Lawn & Garden",
}


class QuestionLine(msgspec.Struct, gc=False):
    """The fields of a question line that are read."""

    qid: Any = None
    asin: Any = None
    category: Any = None
    questionText: Any = None
    review_snippets: Any = None
    is_answerable: Any = None
    paragraphs: Any = None  # SQuAD
    data: Any = None  # SQuAD: a list of objects with paragraphs


def parse_questions(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the questions of a file."""
    records = _each_question(read_json_lines(file.path, QuestionLine, part=file.part))
    return parse_records(records, parse_question, ("questions",), file.origin)


def _each_question(
    lines: Iterable[tuple[int, QuestionLine | RowError]],
) -> Iterator[tuple[int, QuestionLine | RowError]]:
    """Yield the lines; an object in SQuAD form is replaced by one row error for each of its questions."""
    for number, line in lines:
        if isinstance(line, RowError) or not (line.paragraphs or line.data):
            yield number, line
            continue
        articles = line.data if isinstance(line.data, list) else [{"paragraphs": line.paragraphs}]
        questions = [
            question
            for article in _objects(articles)
            for paragraph in _objects(article.get("paragraphs"))
            for question in _objects(paragraph.get("qas"))
        ]
        for question in questions:
            asked = shown(question.get("question"))
            yield (
                number,
                RowError("missing_id", f"the form of SQuAD names no product, use *-qar.jsonl: {asked}"),
            )
        if not questions:
            yield number, line


def _objects(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def parse_question(line: QuestionLine, _number: int, rows: Rows) -> RowError | None:
    """Append a question; reasons: missing_id, missing_text, bad_label."""
    qid, asin = text_value(line.qid), text_value(line.asin)
    if not qid or not asin:
        return RowError("missing_id", f"qid is {shown(line.qid)}, asin is {shown(line.asin)}")
    record_id = f"{PREFIX}:{asin}:{qid}"
    question = html_to_text(line.questionText) if isinstance(line.questionText, str) else ""
    if not question:
        return RowError("missing_text", "questionText is empty", record_id)
    answerable = truth_value(line.is_answerable)
    if answerable is None:
        return RowError("bad_label", f"is_answerable is {shown(line.is_answerable)}", record_id)
    snippets = line.review_snippets if isinstance(line.review_snippets, list) else [line.review_snippets]
    texts = (html_to_text(snippet) for snippet in snippets if isinstance(snippet, str))
    rows["questions"].append(
        (
            record_id,
            amazon2018.product_id(asin),
            category_name(line.category),
            question,
            [text for text in texts if text],
            answerable,
        )
    )
    return None


def category_name(category: object) -> str | None:
    """Return a category as the metadata names it: `Sports_and_Outdoors` is `Sports & Outdoors`."""
    if not isinstance(category, str) or not category.strip():
        return None
    category = html_to_text(category)
    if " " in category or "_" not in category:
        return category or None
    return _NAMES_WITH_COMMAS.get(category, category.replace("_and_", " & ").replace("_", " "))
