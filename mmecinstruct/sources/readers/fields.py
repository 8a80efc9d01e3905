"""Read single values of raw records, whose types vary from publisher to publisher.

Each function returns None for a value that it cannot read; the caller decides whether that rejects the record.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import TypeVar
from zlib import crc32

Name = TypeVar("Name")

# A shorter whole number is written faster.
_USUAL = 10**11

LABELS = {
    "E": "E",
    "S": "S",
    "C": "C",
    "I": "I",
    "EXACT": "E",
    "SUBSTITUTE": "S",
    "COMPLEMENT": "C",
    "IRRELEVANT": "I",
}
# Gains, as in some copies of the data.
_GAINS = {"100": "E", "10": "S", "1": "C", "0": "I"}

_STARS: dict[float, int] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
_TRUE = frozenset({"true", "yes", "y", "1"})
_FALSE = frozenset({"false", "no", "n", "0"})


def text_value(value: object) -> str:
    """Return an id or another short value as text, stripped; empty where there is none.

    Whole numbers lose the `.0` that tables with missing values add.
    """
    if isinstance(value, str):
        return value.strip()
    if type(value) is int and -1 < value < _USUAL:  # the most frequent case
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    # Python does not convert integers of more than 4,300 digits to text.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 128 else ""
    return str(value) if isinstance(value, date | time | Decimal) else ""


def rating_value(value: object) -> int | None:
    """Return a rating of 1 to 5 whole stars."""
    if type(value) is float or type(value) is int:
        return _STARS.get(value)
    number = _number(value)
    return int(number) if number in (1, 2, 3, 4, 5) else None


def truth_value(value: object) -> bool | None:
    """Return the truth value of a boolean, 0 or 1, or one of the usual words."""
    if isinstance(value, bool):
        return value
    word = text_value(value).lower()
    if word not in _TRUE and (number := _number(word)) in (0, 1):
        return number == 1
    return True if word in _TRUE else False if word in _FALSE else None


def relevance_label(value: object) -> str | None:
    """Return E, S, C or I for a letter, a word or a gain of 100, 10, 1 or 0."""
    return LABELS.get(text_value(value).upper()) or named_value(value, _GAINS)


def named_value(value: object, names: Mapping[str, Name]) -> Name | None:
    """Return what a recipe's names say of a value. Numbers are compared as numbers: `3.0` and `3` are one name."""
    text = text_value(value)
    if text in names:
        return names[text]
    number = _number(text)
    if number is None:
        return None
    return next((found for name, found in names.items() if _number(name) == number), None)


def content_hash(rating: int | None, title: object, text: object) -> int:
    """Return a number of a review's content, which tells different reviews of one user, product and day apart.

    Args:
        rating: The stars.
        title: The title as the publisher has it; anything but a text counts as none.
        text: The text, likewise.
    """
    first, second = (value if type(value) is str else "" for value in (title, text))
    return content_hashes([rating or 0], [first], [second])[0]


def content_hashes(ratings: Iterable[int], titles: Iterable[str], texts: Iterable[str]) -> list[int]:
    """Return the `content_hash` of each review."""
    return [
        crc32(
            text.encode("utf-8", "surrogatepass"), crc32(title.encode("utf-8", "surrogatepass"), rating) ^ 1
        )
        for rating, title, text in zip(ratings, titles, texts, strict=True)
    ]


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str | Decimal):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and -1e18 < value < 1e18:
        return value
    return None
