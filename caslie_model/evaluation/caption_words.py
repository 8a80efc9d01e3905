"""The reader `words`: which values of an attribute stand in a caption as whole words.

It knows letter case, plurals, hyphens, British and American spellings, a few words of one meaning, and negation before
a value. What is said of the background is not read. It does not understand sentences: a colour that a caption gives to
something else than the product counts as stated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Raised whenever a caption may be read otherwise than before.
VERSION = 1

# Words of one meaning.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("plain", "solid", "unpatterned"),
    ("striped", "stripe", "stripy"),
    ("dotted", "dot", "polka dot", "spotted", "spot"),
    ("checked", "check", "checkered", "chequered", "plaid"),
    ("tall", "taller than wide", "taller than it is wide"),
    ("wide", "wider than tall", "wider than it is tall"),
    ("regular", "as wide as tall", "as wide as it is tall"),
)
_SPELLINGS = {"grey": "gray", "aluminium": "aluminum", "jewellery": "jewelry"}
_NEGATIONS = frozenset({"no", "not", "non", "without", "never", "isn't"})

_WORD_OR_STOP = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[.,;:!?()]")
_PLACE = r"\b(?:background|backdrop)s?\b"
_OF_THE_BACKGROUND = re.compile(
    rf"\b(?:before|behind|on|upon|against|with|over|in front of)\s+(?:an?|the|its)?\s*(?:[\w-]+\s+){{0,4}}?{_PLACE}"
    rf"|\b(?:the|its|an?)\s+(?:[\w-]+\s+){{0,3}}?{_PLACE}\s+(?:is|was|looks|appears|seems)\b[^.;!?]*"
    rf"|[\w-]+\s+{_PLACE}"
)

Words = tuple[str, ...]


class WordReader:
    """Finds the values of one attribute.

    Args:
        values: The values.
        synonyms: Other words of values; they come beside the built-in ones.
    """

    def __init__(self, values: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> None:
        self._values: dict[Words, str] = {}
        for value in values:
            self._add(value, value)
        # A word that is a value itself, or a synonym of an earlier value, stays what it is.
        given = {_words(value): words for value, words in (synonyms or {}).items()}
        for value in values:
            own = _words(value)
            groups = [group for group in SYNONYMS if own in map(_words, group)]
            for word in (*given.get(own, ()), *(word for group in groups for word in group)):
                self._add(word, value)
        self._longest = max(map(len, self._values), default=0)

    def find(self, caption: str) -> frozenset[str]:
        """Return the values that a caption states.

        Args:
            caption: The caption.
        """
        words = _words(_OF_THE_BACKGROUND.sub(" . ", caption.casefold()))
        found = set()
        start = 0
        while start < len(words):
            length, value = self._match(words, start)
            if value is not None and not (start and words[start - 1] in _NEGATIONS):
                found.add(value)
            start += length
        return frozenset(found)

    def _add(self, word: str, value: str) -> None:
        words = _words(word)
        if words:
            self._values.setdefault(words, value)

    def _match(self, words: Words, start: int) -> tuple[int, str | None]:
        """Return the value of most words that begins at a place, and how many words it has; else one word."""
        for length in range(min(self._longest, len(words) - start), 0, -1):
            value = self._values.get(words[start : start + length])
            if value is not None:
                return length, value
        return 1, None


def _words(text: str) -> Words:
    return tuple(_plain(word) for word in _WORD_OR_STOP.findall(text.casefold()))


def _plain(word: str) -> str:
    """Return a word in the singular and in American spelling; equal words have one form, which may be no word."""
    if len(word) > 3:
        if word.endswith("ies") and len(word) > 4:
            word = word[:-3] + "y"
        elif word.endswith(("sses", "xes", "ches", "shes")):
            word = word[:-2]
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    word = _SPELLINGS.get(word, word)
    return re.sub(r"(?<=[^\W_]{2})our(ed|ful)?$", r"or\1", word)
