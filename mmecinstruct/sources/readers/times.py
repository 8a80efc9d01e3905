"""Read times: numbers since 1970 and the written forms that shops export.

A time without a zone is taken as UTC, a day as its midnight. What cannot be read, or would lie before FIRST, is no
time: `0000-00-00`, -1 and the day numbers of a spreadsheet are not seconds of 1970.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

# In March 1973: earlier than any review, later than small numbers that mean something else.
FIRST = 10**8
# Later than any date in seconds, earlier than any in milliseconds.
MILLISECONDS_FROM = 10**11
_UNITS = ((MILLISECONDS_FROM, 1), (10**14, 1_000), (10**17, 1_000_000), (10**20, 1_000_000_000))

_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?")
_CLOCK = re.compile(
    r"[\sT,]+(?:at\s+)?(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?\s*([ap]\.?m\.?)?"
    r"\s*(?:(?:Z|UTC|GMT)?(?:([+-])(\d\d):?(\d\d)?)?)(?:\s*\([^()]*\))?$",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.IGNORECASE)
_NUMBERS = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})")
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})", re.IGNORECASE)
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?[\s-]+([a-z]{3,9})\.?,?[\s-]+(\d{4})", re.IGNORECASE)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)


def utc_seconds(value: object, day_first: bool | None = None) -> int | None:
    """Return the UTC seconds of a number since 1970, a date, or a written time; None where it cannot be read.

    Args:
        value: The cell or the field.
        day_first: Whether the day stands before the month in dates such as 05/01/2023; None reads those alone that one
            order fits.
    """
    if type(value) is int and FIRST <= value < MILLISECONDS_FROM:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
    if isinstance(value, int | float | Decimal | str) and (number := _number(value)) is not None:
        if not _is_compact(number):
            return _bounded(_since_1970(number))
        digits = str(int(number))
        value = f"{digits[:8]}T{digits[8:]}" if digits[8:] else digits
    if isinstance(value, str):
        value = _written(value, day_first)
    if isinstance(value, date) and not isinstance(value, datetime):  # from a table's column of dates
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return _bounded((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    return None


def _number(value: float | Decimal | str) -> float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if -1e20 < number < 1e20 else None


def _is_compact(number: float) -> bool:
    """Return whether a number is a day, or a day and a time, without signs between: 20230105."""
    return float(number).is_integer() and _COMPACT.fullmatch(str(int(number))) is not None


def _since_1970(number: float) -> float:
    return next((number / unit for below, unit in _UNITS if number < below), number)


def _bounded(seconds: float) -> int | None:
    # pandas' NaT is not finite.
    return int(seconds) if FIRST <= seconds < MILLISECONDS_FROM else None


def _written(text: str, day_first: bool | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if len(text) > 80:
        return None
    try:
        if not (clock := _CLOCK.search(text)):
            return _day(text, day_first)
        hour, minute, second, half, sign, zone_hours, zone_minutes = clock.groups()
        hours = int(hour) % 12 + 12 * (half[0] in "pP") if half else int(hour)
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
        day = _day(text[: clock.start()], day_first)
        return day and day.replace(hour=hours, minute=int(minute), second=int(second or 0), tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def _day(text: str, day_first: bool | None) -> datetime | None:
    """Return the midnight of a written day. Raises ValueError for a day that no calendar has."""
    text = _WEEKDAY.sub("", text.strip().removesuffix("UTC").removesuffix("GMT").strip())
    if found := _NUMBERS.fullmatch(text):
        first, sign, second, third = found.groups()
        if len(first) == 4:
            return datetime(int(first), int(second), int(third))
        if len(third) != 4:
            return None
        one, two = int(first), int(second)
        if sign == "." or one > 12:
            day_first = True
        elif two > 12 and day_first is None:
            day_first = False
        if day_first is None and one != two:
            return None
        return datetime(int(third), two, one) if day_first else datetime(int(third), one, two)
    if found := _MONTH_FIRST.fullmatch(text):
        return datetime(int(found[3]), _month(found[1]), int(found[2]))
    if found := _DAY_FIRST.fullmatch(text):
        return datetime(int(found[3]), _month(found[2]), int(found[1]))
    return None


def _month(name: str) -> int:
    """Return the number of an English month, written whole or short."""
    for number, month in enumerate(_MONTHS, 1):
        if month.startswith(name.lower()):
            return number
    if name.lower() == "sept":
        return 9
    raise ValueError(name)
