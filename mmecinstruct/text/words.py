"""Words of any script: normalised, counted, and as the tokens by which texts are compared.

Scripts that set no blanks between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no words that a pattern
could find. Texts in them are counted by characters and compared by the n-grams of their characters. In a mixed text
each stretch is treated as its script asks: `iPhone用ケース` is the word `iphone` and the characters `用ケース`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

# Characters of a token in scripts without blanks.
NGRAM = 3

# Characters of a word on average, and the letters and vowel signs of such scripts: no digits, no punctuation.
_CHINESE_JAPANESE = (
    2,
    (
        *((0x3005, 0x3007), (0x3021, 0x302F), (0x3031, 0x3035), (0x3041, 0x309A), (0x309D, 0x309F)),
        *((0x30A1, 0x30FA), (0x30FC, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF)),
        *((0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F), (0x20000, 0x323AF)),
    ),
)
_THAI_LAO_KHMER_BURMESE = (
    4,
    (
        *((0x0E01, 0x0E3A), (0x0E40, 0x0E4E), (0x0E81, 0x0ECE), (0x0EDC, 0x0EDF), (0x1000, 0x103F)),
        *((0x1050, 0x108F), (0x109A, 0x109D), (0x1780, 0x17D3), (0x17D7, 0x17D7), (0x17DC, 0x17DD)),
        *((0xA9E0, 0xA9EF), (0xA9FA, 0xA9FE), (0xAA60, 0xAA7F)),
    ),
)
# Blocks with combining signs that belong to the letter before them; `\w` holds none of them.
_MARK_BLOCKS = (0x0300, 0x1C00), (0x1DC0, 0x1E00), (0x302A, 0x3100), (0xA800, 0xAC00), (0x11000, 0x12000)


def _python_class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _sql_class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)


_WITHOUT_BLANKS = _python_class(_CHINESE_JAPANESE[1]) + _python_class(_THAI_LAO_KHMER_BURMESE[1])
_HAS_NO_BLANKS = re.compile(f"[{_WITHOUT_BLANKS}]")
_STRETCH = re.compile(f"[{_WITHOUT_BLANKS}]+|[^{_WITHOUT_BLANKS}]+")
_ASCII_WORD = re.compile(r"\w+")
# Characters that make one word on average, with the punctuation after them.
_COUNTED = "|".join(
    f"[{_python_class(ranges)}]{{1,{size}}}" for size, ranges in (_CHINESE_JAPANESE, _THAI_LAO_KHMER_BURMESE)
)
_COUNTED_WORD = re.compile(rf"(?:{_COUNTED})[^\w\s{_WITHOUT_BLANKS}]*")


@cache
def _word() -> re.Pattern[str]:
    """Return the pattern of a word: letters and digits with the combining signs on them."""
    marks = "".join(
        chr(code)
        for first, end in _MARK_BLOCKS
        for code in range(first, end)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
    return re.compile(rf"\w[\w{marks}]*")


def normalised_text(text: str) -> str:
    """Return the words of a text in their order: compatibility form, case-folded, without punctuation.

    A stretch of a script without blanks stands as one word.
    """
    if text.isascii():
        return " ".join(_ASCII_WORD.findall(text.casefold()))
    words = _word().findall(unicodedata.normalize("NFKC", text).casefold())
    return " ".join(part for word in words for part in _stretches(word))


def _stretches(word: str) -> list[str]:
    return _STRETCH.findall(word) if _HAS_NO_BLANKS.search(word) else [word]


def tokens(text: str) -> list[str]:
    """Return what texts are compared by: the words in their order, of scripts without blanks the n-grams instead.

    A stretch that is shorter than an n-gram is one token.
    """
    return normalised_tokens(normalised_text(text))


def normalised_tokens(text: str) -> list[str]:
    """Return the `tokens` of a text that is a result of `normalised_text`."""
    words = text.split()
    return words if text.isascii() else [token for word in words for token in _tokens_of(word)]


def _tokens_of(word: str) -> Iterator[str]:
    if word.isascii() or len(word) <= NGRAM or not _HAS_NO_BLANKS.match(word):
        yield word
        return
    for start in range(len(word) - NGRAM + 1):
        yield word[start : start + NGRAM]


def count_words(text: str) -> int:
    """Return how many words a text has: what blanks part, and of scripts without blanks the words of average length.

    Two characters of Chinese or Japanese count as a word, and four of Thai, Lao, Khmer or Burmese.
    """
    return len((text if text.isascii() else _COUNTED_WORD.sub(" w ", text)).split())


def sql_word_count(column: str) -> str:
    """Return the DuckDB expression of `count_words`; an empty text counts as one word."""
    counted = "|".join(
        f"[{_sql_class(ranges)}]{{1,{size}}}" for size, ranges in (_CHINESE_JAPANESE, _THAI_LAO_KHMER_BURMESE)
    )
    # Most texts are ASCII, and their bytes are counted faster than a pattern is searched.
    spaced = (
        f"CASE WHEN strlen({column}) = length({column}) THEN {column} "
        f"ELSE regexp_replace({column}, '(?:{counted})[^\\pL\\pM\\pN_\\s]*', ' w ', 'g') END"
    )
    return f"len(regexp_split_to_array(trim({spaced}), '\\s+'))"
