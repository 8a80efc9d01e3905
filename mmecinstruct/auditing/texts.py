"""Extract the texts of a sample that must not cross splits: its content, without the instruction.

A text is compared with texts of the same unit only: titles with titles, queries with queries, questions with
questions, reviews and review snippets with each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mmecinstruct.tasks import TASKS

TITLE, QUERY, QUESTION, REVIEW, OTHER = "title", "query", "question", "review", "text"
# "3rd: " before an item of a history.
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th): ")
_LETTER = re.compile(r"[A-Z]: ")
# Characters of one text that are compared.
MAX_TEXT = 20_000


def content_texts(text: str, options: Sequence[str], options_are_titles: bool) -> list[tuple[str, str, str]]:
    """Return the texts of a sample's input, and of its options where they are products.

    Args:
        text: The input: JSON of an object of fields or of a list of titles. Any other text has the unit `text`.
        options: The options.
        options_are_titles: The options are titles of products.

    Returns:
        (field, unit, text) of each text.
    """
    found = list(_input_texts(text))
    if options_are_titles:
        found += [(f"option {option[:1]}", TITLE, _LETTER.sub("", option, count=1)) for option in options]
    return found


def _input_texts(text: str) -> Iterator[tuple[str, str, str]]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict):
        units = _units()
        for name, entry in value.items():
            unit = units.get(name, OTHER)
            for part in entry if isinstance(entry, list) else [entry]:
                if isinstance(part, str):
                    yield name, unit, part
    elif isinstance(value, list):
        for number, part in enumerate(value, start=1):
            if isinstance(part, str):
                yield f"history {number}", TITLE, _ORDINAL.sub("", part, count=1)
    elif isinstance(value, str):
        yield "input", OTHER, value


def _units() -> dict[str, str]:
    """Return the unit of each input field of any task; fields of the same name are of the same unit."""
    return {name: field.unit for task in TASKS.values() for name, field in (task.row.fields or {}).items()}


def text_key(unit: str, normalised: str) -> str:
    """Return the key of a text: equal for equal texts of one unit."""
    return hashlib.blake2b(f"{unit}\x1f{normalised}".encode(), digest_size=16).hexdigest()
