"""Read single values of raw records, whose types vary from publisher to publisher.

Each function returns None for a value that it cannot read; the caller decides whether that rejects the record.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

# Later than any date in seconds, earlier than any in milliseconds.
MILLISECONDS_FROM = 10**11

LABELS = {
    "E": "E",
    "S": "S",
    "C": "C",
    "I": "I",
    "EXACT": "E",
    "SUBSTITUTE": "S",
    "COMPLEMENT": "C",
    "IRRELEVANT": "I",
    # Gains, as in some copies of the data.
    "100": "E",
    "10": "S",
    "1": "C",
    "0": "I",
}

_STARS: dict[float, int] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
_TRUE = frozenset({"true", "yes", "y", "1"})
_FALSE = frozenset({"false", "no", "n", "0"})


def text_value(value: object) -> str:
    """Return an id or another short value as text, stripped; empty where there is none.

    Whole numbers lose the `.0` that tables with missing values add.
    """
    if isinstance(value, str):
        return value.strip()
    if type(value) is int and -1 < value < MILLISECONDS_FROM:  # the most frequent case
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
    return True if word in _TRUE else False if word in _FALSE else None


def relevance_label(value: object) -> str | None:
    """Return E, S, C or I for a letter, a word or a gain of 100, 10, 1 or 0."""
    return LABELS.get(text_value(value).upper())


def utc_seconds(value: object) -> int | None:
    """Return UTC seconds for seconds, milliseconds, ISO 8601 or a date; a time without zone is taken as UTC."""
    if type(value) is int and 0 <= value < MILLISECONDS_FROM:
        return value
    number = _number(value)
    if number is not None:
        seconds = number / 1000 if abs(number) > MILLISECONDS_FROM else number
        return int(seconds) if abs(seconds) < MILLISECONDS_FROM else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):  # from a table's column of dates
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        seconds = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        # pandas' NaT is not finite.
        return int(seconds) if abs(seconds) < MILLISECONDS_FROM else None
    return None


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
