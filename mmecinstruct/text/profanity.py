"""Count swear words. The counts are a measurement: nothing is filtered or masked."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

WORD_LIST = Path(__file__).with_name("profanity.txt")
_PARTS = ("mild", "strong")
# Swear words with masked letters: f***, sh*t, b*tch.
_COVERED = r"f[*#@$]{2,3}[a-z]*|sh[*#@$!]t[a-z]*|s[*#]{2}t[a-z]*|b[*#@!]{1,3}ch[a-z]*"


@cache
def profanity_words() -> dict[str, tuple[str, ...]]:
    """Return the words of each part of the word list, `mild` and `strong`."""
    words: dict[str, list[str]] = {part: [] for part in _PARTS}
    part = ""
    for line in WORD_LIST.read_text(encoding="utf-8").splitlines():
        if line in _PARTS:
            part = line
        elif line and not line.startswith("#"):
            words[part].append(line)
    return {part: tuple(listed) for part, listed in words.items()}


def count_profanity(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return (swear words, strong ones among them) in each text as int16; 0 for a null."""
    mild, strong = (_count(texts, _pattern(part)) for part in _PARTS)
    return pc.cast(pc.add(mild, strong), pa.int16()), pc.cast(strong, pa.int16())


def _count(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.min_element_wise(pc.fill_null(pc.count_substring_regex(texts, pattern), 0), 10_000)


@cache
def _pattern(part: str) -> str:
    words = [re.escape(word).replace(r"\*", "[a-z]*") for word in profanity_words()[part]]
    covered = f"|{_COVERED}" if part == "strong" else ""
    return rf"(?i)\b(?:(?:{'|'.join(words)})\b{covered})"
