"""Answers: which are allowed, how they are written, and what a model's words mean.

A label is what the `output` column holds: `yes` or `no`, or the letter of an option. An answer is how the
label is written for the model: with answers=letter the letter, with answers=text the option's words.

Reading is strict: a text that is not certainly one of the allowed answers is unparsable (None), and counts as wrong.
The grammar, after markup (Markdown, quotes, tags, LaTeX) is removed:

    text    = [reasoning] line {line}                     a later line gives no other answer
    line    = [lead ...] (yes-no | letter | words)        the first, or the one after a lead of its own
    lead    = ["the" | "my"] ["final" | "correct" | ...] ("answer" | "option" | "choice") ["is"] [":"]
    yes-no  = ("yes" | "no") (end | mark remark)          the remark does not give the other answer
    letter  = LETTER (end | mark remark)                  the remark neither denies nor names another option
    words   = an option's words ["(" its LETTER ")"]      exactly, else without outer marks, else folded
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.tasks.task import YES_NO

_OPTION = re.compile(r"^([A-Z]): ?(.*)$", re.DOTALL)
# "<think>" opens a model's reasoning, "</think>" closes it.
_REASONING = re.compile(r"[<\[](/?)(?:think(?:ing)?|thoughts?|reasoning|reflection)[>\]]", re.IGNORECASE)
_BULLET = re.compile(r"^(?:[-–*•>#]+\s+)+")
# Markdown, quotes, tags, LaTeX, characters without width.
_MARKUP = re.compile(
    r"[*_`\"“”„«»$\u200b-\u200d\u2060\ufeff]|</?[A-Za-z]+>|\\(?:boxed|text(?:bf)?|math(?:rm|bf))\b|\\(?=[()\[\]])|[{}]"
)
# "The answer is a" may be the beginning of a longer one.
_LEAD = re.compile(
    r"^(?:(?:the|my) )?(?:(?:final|correct|right|best) )?(?:answer|option|choice)\b(?: to the question)?"
    r"(?: is\b(?!\s+(?-i:[ai])$))?\s*[:：]?\s*",
    re.IGNORECASE,
)
# "No. 5" is a number, "no-name" a word.
_YES_NO = re.compile(
    r"^[(\[]*(yes|no)(?:$|[)\]]+|\s*(?:[,;!。(\[]|:(?!\s*[0-9])|\.+(?!\s*(?:[0-9]|of\b)|(?-i:[a-z])))|\s+-|\s*[–—])"
    r"(.*)$",
    re.IGNORECASE,
)
# A later yes or no, but not the "no" of "no doubt"; or what takes the answer back.
_LATER_YES_NO = re.compile(r"\b(?:(yes)|(no)(?!\s+(?!wait\b|sorry\b|actually\b)\w))\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\bnot (?:the case|true|sure|correct|right|certain)\b|\b(?:wrong|incorrect|unsure|uncertain|unclear)\b",
    re.IGNORECASE,
)
# A letter alone, or before a mark; never before a word: "A red mug" does not answer A.
_LETTER = re.compile(
    r"^[(\[]*([A-Za-z])(?:(?P<mark>\s*$|[)\]]+|:|[.!。](?=\s|$))|,|\.+|\s?\(|\s+-\s|\s*[–—])(.*)$"
)
_DENIAL = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|(?:less|least|un)\s?likely|wrong|incorrect|false|unsure|uncertain|unclear"
    r"|excluded|eliminated|rejected|ruled out)\b|n['’]t\b|[❌✗✘✕☒🚫👎]",
    re.IGNORECASE,
)
# A capital letter that stands alone, and is neither the article nor the pronoun of a sentence.
_NAMED = re.compile(r"(?<![\w'’-])(?![AI] (?!and\b|or\b)[a-z])([A-Z])(?![\w'’-])")
# The letter of an option before its mark, also in brackets: "(A: 2)".
_LISTED = re.compile(r"(?<![\w'’-])([A-Z])\s*[:=]")
_WORDS_AND_LETTER = re.compile(r"^(.+?)\s*[(\[]([A-Z])[)\]]\W*$")
_OUTER = " .,:;!?。…\"'’‘`*()[]"


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
        match = _OPTION.match(str(option))
        if match is None or match[1] in texts:
            raise DatasetError(
                f"sample {sample_id}: option {str(option)[:80]!r} is not written 'A: …' with a letter of its own; "
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

    Letter and words that contradict each other are no answer, nor are words that two options share. With answers=text
    words go before letters, so that an option called "A" is found by its words.

    Args:
        text: The model's answer.
        options: Texts by letter, as the model was shown and taught them; empty for yes/no.
        answers: letter or text, as the model was asked to answer.

    Returns:
        The label, None for a text that is not clearly one allowed answer.
    """
    said = [(match.end(), bool(match[1])) for match in _REASONING.finditer(text)]
    start = max((end for end, closes in said if closes), default=0)
    if any(end > start for end, _ in said):
        return None
    lines = [" ".join(line.split()) for line in text[start:].splitlines() if line.strip()]
    if len(lines) > 1 and not _without_leads(_clean(lines[0])) and _by_words(lines[0], options) is None:
        del lines[0]
    if not lines:
        return None
    label = _read_line(lines[0], options, answers)
    return None if any(_is_other(line, label, options, answers) for line in lines[1:]) else label


def _read_line(line: str, options: dict[str, str], answers: str) -> str | None:
    """Return the label that one line means."""
    candidates = list(dict.fromkeys((line, _clean(line), _without_leads(_clean(line)))))
    readers: list[Callable[[str, dict[str, str]], str | None]] = [_by_yes_no]
    if options:
        readers = [_by_words, _by_letter] if answers == "text" else [_by_letter, _by_words]
    found = (read(candidate, options) for read in readers for candidate in candidates)
    return next((label for label in found if label is not None), None)


def _is_other(line: str, label: str | None, options: dict[str, str], answers: str) -> bool:
    """Return whether a later line gives, or begins as, another answer than the first."""
    match = _LETTER.match(_without_leads(_clean(line)))
    if match and match[1] in options and (match["mark"] is not None or match[1] not in "AI"):
        return match[1] != label
    return _read_line(line, options, answers) not in (None, label)


def _by_yes_no(line: str, options: dict[str, str]) -> str | None:
    match = _YES_NO.match(line)
    if match is None or _TAKEN_BACK.search(match[2]):
        return None
    label = match[1].lower()
    later = (word.lower() for pair in _LATER_YES_NO.findall(match[2]) for word in pair if word)
    return label if all(word == label for word in later) else None


def _by_letter(line: str, options: dict[str, str]) -> str | None:
    match = _LETTER.match(line)
    if match is None or match[1].upper() not in options:
        return None
    letter, remark = match[1].upper(), match[3].strip(" .,:;-–—")
    own = options[letter]
    words = _by_words(remark, options)
    if words is not None:
        return letter if words == letter else None
    rest = remark if remark.startswith("(") else re.sub(r"\(.*?\)", " ", remark)
    starts_with_own = own != "" and _tokens(rest).startswith(_tokens(own))
    if match["mark"] is None and not starts_with_own:  # after a comma or dash: "I, for one, …", "T - shirt"
        explains = not remark or (len(remark.split()) > 2 and remark[0].islower())
        if letter in "AI" or not explains:
            return None
    if own:
        rest, remark = (
            re.sub(re.escape(own), " ", part, count=1, flags=re.IGNORECASE) for part in (rest, remark)
        )
    named = ({*_NAMED.findall(rest), *_LISTED.findall(remark)} & set(options)) - {letter}
    said = {other for other, text in options.items() if text and _tokens(text) in _tokens(rest)} - {letter}
    return None if _DENIAL.search(rest) or named or said else letter


def _by_words(line: str, options: dict[str, str]) -> str | None:
    """Return the letter of the only option with these words, or with these words and its letter in brackets."""
    label = _option_with(line, options)
    match = _WORDS_AND_LETTER.match(line)
    if label is not None or match is None:
        return label
    return match[2] if _option_with(match[1], options) == match[2] else None


def _option_with(line: str, options: dict[str, str]) -> str | None:
    """Return the letter of the only option with these words, compared ever less exactly."""
    for form in (str, _bare, _folded):
        words = form(line)
        found = [letter for letter, option in options.items() if words and form(option) == words]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _without_leads(line: str) -> str:
    """Return a line without what announces an answer: "The correct answer is option"."""
    while (shorter := _LEAD.sub("", line, count=1)) != line:
        line = shorter
    return line


def _clean(line: str) -> str:
    """Return a line without markup, with full-width characters as ordinary ones."""
    plain = _MARKUP.sub("", _BULLET.sub("", unicodedata.normalize("NFKC", line)))
    return " ".join(plain.split()).strip("'’‘ ")


def _bare(text: str) -> str:
    return _clean(text).strip(_OUTER)


def _folded(text: str) -> str:
    """Return a text without case, outer marks and blanks, which a tokenizer's decoding may move; "1 2" is not 12."""
    return re.sub(r"(?<![0-9]) | (?![0-9])", "", _bare(text).casefold())


def _tokens(text: str) -> str:
    """Return the words of a text, each between blanks."""
    words = re.findall(r"\w+", _clean(text).casefold())
    return " ".join(["", *words, ""])
