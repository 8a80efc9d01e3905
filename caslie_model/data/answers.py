"""Answers: which are allowed, how they are written, and what a model's words mean.

A label is what the `output` column holds: `yes` or `no`, or the letter of an option. An answer is how the
label is written for the model: with answers=letter the letter, with answers=text the option's words. Parsing
is strict but sensible: an answer that is not clearly one of the allowed ones is unparsable (None), and counts as wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.tasks.task import YES_NO

_OPTION = re.compile(r"^([A-Z]): ?(.*)$", re.DOTALL)
_LEAD = re.compile(
    r"^(?:the )?(?:(?:correct|right|best) )?(?:answer|option)(?: is\b)?\s*:?\s*", re.IGNORECASE
)
# A letter is an answer alone or before punctuation, never before a word: "A red mug" does not answer A.
_LETTER = re.compile(r"^\(?([A-Za-z])(?:$|[:)](.*)$|\.(?:$|\s(.*)$))", re.DOTALL)
_YES_NO = re.compile(r"^(yes|no)(?:$|\s*[.,:;!\n])", re.IGNORECASE)


def split_options(options: Sequence[str], sample_id: str) -> dict[str, str]:
    """Return the texts of options by letter.

    Args:
        options: The options as the dataset has them, "A: …"; none for yes/no.
        sample_id: For the error.

    Returns:
        Texts by letter; empty for yes/no.

    Raises:
        DatasetError: If an option is not written "A: …" or a letter occurs twice.
    """
    texts: dict[str, str] = {}
    for option in options:
        match = _OPTION.match(option)
        if match is None or match[1] in texts:
            raise DatasetError(
                f"sample {sample_id}: option {option[:80]!r} is not written 'A: …' with a letter of its own; "
                "build the dataset again"
            )
        texts[match[1]] = " ".join(match[2].split())
    return texts


def allowed_labels(options: dict[str, str]) -> tuple[str, ...]:
    """Return the labels that a sample allows, in the order of its options.

    Args:
        options: Texts by letter; empty for yes/no.

    Returns:
        Letters, or yes and no.
    """
    return tuple(options) or YES_NO


def written_answer(label: str, options: dict[str, str], answers: str) -> str:
    """Return a label as the model writes it.

    Args:
        label: yes, no or a letter.
        options: Texts by letter; empty for yes/no.
        answers: letter or text.

    Returns:
        The label, or with text the option's words; the letter where an option has no words.
    """
    if answers == "text" and options:
        return options[label] or label
    return label


def parse_answer(text: str, options: dict[str, str], answers: str) -> str | None:
    """Return the label that a model's text means.

    Only the first line with text counts. Accepted are, for yes/no: the word, alone or before punctuation. For options:
    the letter, alone or before punctuation ("B", "(B)", "B: …", "B. …"), and an option's words, compared without case,
    outer punctuation and spacing. Letter and words that contradict each other are no answer. With answers=text words go
    before letters, so that an option called "A" is found by its words.

    Args:
        text: The model's answer.
        options: Texts by letter; empty for yes/no.
        answers: letter or text, as the model was asked to answer.

    Returns:
        The label, None for a text that is not clearly one allowed answer.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not options:
        match = _YES_NO.match(line)
        return match[1].lower() if match else None
    for candidate in (line, _LEAD.sub("", line, count=1)):
        by_words = _parse_words(candidate, options)
        by_letter = _parse_letter(candidate, options)
        label = (by_words or by_letter) if answers == "text" else (by_letter or by_words)
        if label is not None:
            return label
    return None


def _parse_letter(line: str, options: dict[str, str]) -> str | None:
    match = _LETTER.match(line)
    if match is None or match[1].upper() not in options:
        return None
    letter, rest = match[1].upper(), match[2] or match[3] or ""
    by_words = _parse_words(rest, options)
    if by_words is not None:
        return letter if _plain(options[by_words]) == _plain(options[letter]) else None
    second = _plain(rest).upper()
    return None if second in options and second != letter else letter  # "A: B" is no answer


def _parse_words(line: str, options: dict[str, str]) -> str | None:
    """Return the letter of the option with these words, the first of several."""
    words = _plain(line)
    if not words:
        return None
    return next((letter for letter, option in options.items() if _plain(option) == words), None)


def _plain(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .,:;!?\"'`*()[]")
