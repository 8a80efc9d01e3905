"""The conclusion of a text that thinks before it answers: "So the answer is B.", a box, an object of JSON.

A conclusion counts in the last lines only, where none before it differs and nothing after it takes it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from caslie_model.data.answer_lines import LineReader, clean
from caslie_model.data.answer_words import (
    ANNOUNCED,
    ANSWER_KEYS,
    ANSWER_TAG,
    BOXED,
    CALLED_RIGHT,
    HEDGE,
    NOT,
    OR,
    SENTENCE_END,
)

# Lines that may follow the conclusion; characters of the sentence before it.
_AFTER, _SENTENCE = 2, 300
# Stand for the braces of a box, as markup is removed.
_OPEN, _CLOSE = "\u27e6", "\u27e7"
_BOX = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_SMALL_LETTER = re.compile(r"[a-z][.!]?$")
_QUESTION = re.compile(r"(?:question|instruction|input|user|human)\s*\d*\s*:", re.IGNORECASE)
# A text with more conclusions repeats itself without an end.
_MOST = 100
_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n?\s*```\s*$", re.DOTALL | re.IGNORECASE)
# Characters of an object of JSON that ends a text, and lines that it may begin in.
_LONGEST_OBJECT, _OBJECT_LINES = 5_000, 20


@dataclass(frozen=True)
class Conclusion:
    """What a text concludes.

    Attributes:
        label: The label; None where it is none, or not certain.
        denied: The label that it rules out: "The answer is not B".
    """

    label: str | None
    denied: str | None = None


@dataclass(frozen=True)
class _Claim:
    """A conclusion where it stands in a line.

    Attributes:
        start: Where what announces it begins.
        end: Where that ends.
        binds: Whether the text has no answer when this is none and the last.
        said: The answer, where the announcement holds it.
    """

    start: int
    end: int
    binds: bool
    said: str | None = None


def conclusion(lines: Sequence[str], reader: LineReader) -> Conclusion | None:
    """Return what lines conclude.

    Args:
        lines: Lines of a text, without empty ones.
        reader: Of the question's answers.

    Returns:
        The conclusion; None where nothing announces one.
    """
    found: list[tuple[int, Conclusion]] = []
    boxed: set[str | None] = set()
    for index, line in enumerate(lines):
        # An option's words may be "The answer is: none".
        if reader.by_words(line) is not None:
            continue
        plain = line.replace(_OPEN, "").replace(_CLOSE, "")
        for box in (BOXED, ANSWER_TAG):
            plain = box.sub(lambda match: f"{_OPEN}{match[1]}{_CLOSE}", plain)
        text = clean(plain)
        # Another question that the text goes on with: its answer is not ours.
        if index and _QUESTION.match(text):
            return Conclusion(None)
        claims = _claims(text)
        if index and not claims and text and reader.is_lead(line):
            claims = [_Claim(0, len(text), binds=True)]
        if len(found) + len(claims) > _MOST:
            return Conclusion(None)
        for claim, following in pairwise([*claims, None]):
            assert claim is not None
            segment = text[claim.end : following.start if following else len(text)]
            if claim.said is None and not segment.strip(" .:") and following is None:
                segment = lines[index + 1] if index + 1 < len(lines) else ""
            label = None if _is_hedged(text, claim) else _label(text, claim, segment, reader)
            if claim.said is not None and claim.binds:
                boxed.add(reader.read(claim.said))
            if label is not None or claim.binds:
                found.append((index, Conclusion(label, _denied(segment, reader))))
    if not found:
        return None
    last, final = found[-1]
    labels = ({each.label for _, each in found} | boxed) - {None}
    if final.label is None or len(labels) > 1 or last < len(lines) - 1 - _AFTER:
        return Conclusion(None, final.denied)
    after = [line for line in lines[last + 1 :] if reader.read(line) != final.label]
    if any(reader.is_other(line, final.label) or reader.takes_back(line, final.label) for line in after):
        return Conclusion(None)
    return final


def json_answer(text: str, reader: LineReader) -> tuple[str, Conclusion | None]:
    """Return the answer in an object of JSON that ends a text.

    Args:
        text: A model's text.
        reader: Of the question's answers.

    Returns:
        The text before the object, and the answer; the whole text and None where it ends with no object.
    """
    ended = text.rstrip()
    if not ended.endswith(("}", "```")):
        return text, None
    fenced = _last_fence(ended)
    if fenced is not None:
        begin, inner = fenced
        value = _parsed(inner)
        return (text, None) if value is None else (ended[:begin], Conclusion(_answer_in(value, reader)))
    if ended.lstrip().startswith("{"):
        value = _parsed(ended)
        if value is not None:
            return "", Conclusion(_answer_in(value, reader))
    tail = ended[-_LONGEST_OBJECT:]
    offset = len(ended) - len(tail)
    begins = [match.start(1) for match in re.finditer(r"(?:^|\n)[ \t]*(\{)", tail)]
    for begin in begins[-_OBJECT_LINES:]:
        value = _parsed(tail[begin:])
        if value is not None:
            return ended[: offset + begin], Conclusion(_answer_in(value, reader))
    return text, None


def _last_fence(text: str) -> tuple[int, str] | None:
    """Return where the block of code that ends a text begins, and its content."""
    if not text.endswith("```"):
        return None
    begin = text.rfind("```", 0, len(text) - 3)
    match = _FENCE.match(text, begin) if begin >= 0 else None
    return (begin, match[1]) if match else None


def _parsed(text: str) -> list[tuple[str, Any]] | None:
    """Return the keys and values of an object of JSON, with repeated keys; None for anything else."""
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, _Pairs) else None


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON as it is written."""


def _answer_in(pairs: Sequence[tuple[str, Any]], reader: LineReader) -> str | None:
    """Return the only answer of an object: under a key that names one, and no other value is another answer."""
    values = [(re.sub(r"[\W_]", "", key.casefold()), value) for key, value in pairs]
    named = [value for key, value in values if key in ANSWER_KEYS]
    labels = {reader.read(value) if isinstance(value, str) else None for value in named}
    if len(labels) != 1:
        return None
    (label,) = labels
    others = {
        reader.read(value) for key, value in values if isinstance(value, str) and key not in ANSWER_KEYS
    }
    return label if others <= {None, label} else None


def _claims(text: str) -> list[_Claim]:
    """Return the conclusions of a line in their order."""
    found = [
        _Claim(match.start(), match.end(), bool(match["firm"] or match["choice"]))
        for match in ANNOUNCED.finditer(text)
    ]
    found += [_Claim(match.start(), match.end(), False, match[1]) for match in CALLED_RIGHT.finditer(text)]
    found += [_Claim(match.start(), match.end(), True, match[1]) for match in _BOX.finditer(text)]
    return sorted(found, key=lambda claim: claim.start)


def _is_hedged(text: str, claim: _Claim) -> bool:
    """Return whether a condition, a doubt or, before a box, a "not" stands in the sentence before a conclusion."""
    before = text[max(0, claim.start - _SENTENCE) : claim.start]
    sentence = SENTENCE_END.split(before)[-1]
    is_boxed = claim.said is not None and claim.binds
    return HEDGE.search(sentence) is not None or (is_boxed and NOT.search(sentence) is not None)


def _label(text: str, claim: _Claim, segment: str, reader: LineReader) -> str | None:
    plain = segment.replace(_OPEN, "").replace(_CLOSE, "").strip()
    if claim.said is None:
        # "So a" may be the beginning of more, "Answer: a" is none.
        if _SMALL_LETTER.match(plain) and not text[: claim.end].rstrip().endswith(":"):
            return None
        return reader.read_announced(plain)
    label = reader.read(claim.said)
    return None if label is None or OR.match(plain) or reader.takes_back(plain, label) else label


def _denied(segment: str, reader: LineReader) -> str | None:
    """Return the label that a text begins with "not B" for."""
    match = NOT.match(segment.strip())
    return None if match is None else reader.read_announced(segment.strip()[match.end() :])
