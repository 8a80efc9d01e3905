"""Parse prices and currencies of shop texts."""

from __future__ import annotations

import re
from functools import lru_cache

# Longer texts are not cached; no price is as long.
_CACHED_LENGTH = 250

_DOLLARS = re.compile(r"\s*\$\s*(\d[\d,]*(?:\.\d+)?)")
# Separators of thousands: apostrophes (Swiss), non-breaking and narrow blanks (French).
_GROUPING = "' \u00a0\u2009\u2019\u202f"
_AMOUNT = re.compile(rf"\.?\d[\d.,{_GROUPING}]*")
_GROUPED = re.compile(f"[{_GROUPING}]")
_CURRENCY_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_CURRENCY_CODE = re.compile(r"\b[A-Z]{3}\b")


def parse_dollars(price: object) -> float | None:
    """Return the US dollars of an Amazon price, for a range its lower end; None for style sheets and scripts."""
    if not isinstance(price, str):
        return _plain_number(price)
    return _known_dollars(price) if len(price) <= _CACHED_LENGTH else _dollars(price)


@lru_cache(maxsize=50_000)
def _known_dollars(price: str) -> float | None:
    return _dollars(price)


def _dollars(price: str) -> float | None:
    match = _DOLLARS.match(price)
    return _plain_number(float(match[1].replace(",", ""))) if match else None


def parse_price(price: object) -> tuple[float | None, str | None]:
    """Return (amount, ISO 4217 currency) of a shop's price; None for a missing part.

    Args:
        price: A number, or a text such as `34`, `$1,299.00`, `12,50 €`, `EUR 9.90`. Where comma and point both occur,
            the last one is the decimal separator. A comma alone separates thousands if three digits follow it, else
            decimals.
    """
    if not isinstance(price, str):
        return _plain_number(price), None
    match = _AMOUNT.search(price)
    if match is None or "-" in price[: match.start()]:
        return None, None
    digits = _GROUPED.sub("", match[0]).rstrip(".,")
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma > point and (point >= 0 or (digits.count(",") == 1 and len(digits) - comma != 4)):
        digits = digits.replace(".", "").replace(",", ".")
    else:
        digits = digits.replace(",", "")
    try:
        amount = _plain_number(float(digits))
    except ValueError:
        return None, None
    if amount is None:  # out of range
        return None, None
    code = _CURRENCY_CODE.search(price)
    sign = next((code for sign, code in _CURRENCY_SIGNS.items() if sign in price), None)
    return amount, code[0] if code else sign


def _plain_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN fails the comparison; the upper bound excludes integers that overflow.
    return float(value) if 0 <= value < 1e12 else None
