"""Find numbers of bank accounts (IBAN) and of orders, which identify a person to those who hold the records."""

from __future__ import annotations

import re

from mmecinstruct.text.pii_numbers import LATIN, Span, merge

# Characters of an IBAN by country (ISO 13616).
_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18"
    " FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20"
    " LV21 MC27 MD24 ME22 MK19 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24"
    " TR26 UA29 VA22 XK20"
)
_LENGTHS = {each[:2]: int(each[2:]) for each in _COUNTRIES.split()}
_GAP = r"[ \-\u00a0]?"
_START = re.compile(rf"(?<![{LATIN}])(?:[A-Z]{{2}}{_GAP}|[A-Za-z]{{2}})\d\d(?=(?:{_GAP}[A-Za-z\d]){{11}})")
_REST = re.compile(rf"(?:{_GAP}[A-Z\d]){{11,29}}", re.IGNORECASE)
# After the word, a wrong check digit is a slip.
_CALLED = re.compile(
    rf"\b(?i:IBAN(?:[\s.:#]|\b(?:is|number|no|nr|lautet|ist|est|es|è)\b){{1,8}})"
    rf"(?P<number>[A-Z]{{2}}{_GAP}\d\d(?:{_GAP}[A-Z\d]{{1,4}}){{3,8}})(?![{LATIN}])"
)
# Amazon's orders.
_ORDER = re.compile(rf"(?<![{LATIN}.\-])[1-9A-Z]\d\d-\d{{7}}-\d{{7}}(?![{LATIN}\-])")

IBAN_HINT = r"[A-Z]{2}[^A-Za-z\d]?\d\d|[A-Za-z]{2}\d\d"
ORDER_HINT = r"\d\d-\d{7}-\d{7}"


def find_ibans(text: str) -> list[Span]:
    """Return the spans of account numbers: valid ones of a known country, and what follows the word "IBAN"."""
    spans = [match.span("number") for match in _CALLED.finditer(text) if _has_digits(match["number"])]
    for match in _START.finditer(text):
        start = match.start()
        length = _LENGTHS.get(match[0][:2].upper(), 0)
        whole = _REST.match(text, match.end()) if length else None
        characters = list(re.finditer(r"\w", text[start : whole.end()])) if whole else []
        if len(characters) < length or not characters:
            continue
        stop = start + characters[length - 1].end()
        number = "".join(each[0] for each in characters[:length]).upper()
        if not text[stop : stop + 1].isalnum() and _is_valid(number):
            spans.append((start, stop))
    return merge(spans)


def _has_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) >= 8


def _is_valid(number: str) -> bool:
    """Return whether the check digits are right (ISO 7064, mod 97-10)."""
    return int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97 == 1


def find_orders(text: str) -> list[Span]:
    """Return the spans of order numbers of the form 112-1234567-1234567."""
    return [match.span() for match in _ORDER.finditer(text)]
