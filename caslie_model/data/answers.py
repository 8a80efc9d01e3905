r"""Answers: which are allowed, how they are written, and what a model's words mean.

A label is what the `output` column holds: `yes` or `no`, or the letter of an option. An answer is how the
label is written for the model: with answers=letter the letter, with answers=text the option's words.

Reading is strict: a text that is not certainly one of the allowed answers is unparsable (None), and counts as wrong.
The grammar, after markup (Markdown, quotes, tags, LaTeX) is removed:

    text       = [reasoning] (json | answer | thoughts)
    json       = an object, alone or at the end of the text, with one answer under a key such as "answer"
    answer     = line {line}                              a later line gives no other answer
    thoughts   = {line} conclusion [line [line]]          no conclusion before the last differs
    conclusion = "So the answer is" line | "\boxed{" line "}" | LETTER "is correct"
    line       = [lead ...] (yes-no | letter | words)     the first, or the one after a lead of its own
    lead       = ["the" | "my"] ["final" | "correct" | ...] ("answer" | "option" | "choice") ["is"] [":"]
    yes-no     = ("yes" | "no") (end | mark remark)       the remark does not give the other answer
    letter     = LETTER (end | mark remark)               the remark neither denies nor names another option
    words      = an option's words ["(" its LETTER ")"]   exactly, else without outer marks, else folded

Leads, yes and no are read in the languages of `answer_words`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from caslie_model.data.answer_lines import reader_of
from caslie_model.data.answer_words import ANSWER_TAG
from caslie_model.data.conclusions import conclusion, json_answer
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.tasks.task import YES_NO

_OPTION = re.compile(r"^([A-Z]): ?(.*)$", re.DOTALL)
# "<think>" opens a model's reasoning, "</think>" closes it.
_REASONING = re.compile(r"[<\[](/?)(?:think(?:ing)?|thoughts?|reasoning|reflection)[>\]]", re.IGNORECASE)
# A longer text is read at both ends: no answer has more lines.
_ENDS = 500  # lines


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


def without_reasoning(text: str) -> str | None:
    """Return what stands behind a model's reasoning, None where that is not closed.

    Args:
        text: What the model wrote.
    """
    said = [(match.end(), bool(match[1])) for match in _REASONING.finditer(text)]
    start = max((end for end, closes in said if closes), default=0)
    return None if any(end > start for end, _ in said) else text[start:]


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
    answered = without_reasoning(text)
    if answered is None:
        return None
    reader = reader_of(tuple(options.items()), answers)
    # A tag of the answer may span lines.
    body = ANSWER_TAG.sub(lambda match: f"<answer>{' '.join(match[1].split())}</answer>", answered)
    before, claimed = json_answer(body, reader)
    lines = [" ".join(line.split()) for line in before.splitlines() if line.strip()]
    lines = lines if len(lines) <= 2 * _ENDS else [*lines[:_ENDS], *lines[-_ENDS:]]
    if len(lines) > 1 and reader.is_lead(lines[0]):
        del lines[0]
    if not lines:
        return claimed.label if claimed else None
    opening = reader.read(lines[0])
    later = dict.fromkeys(lines[1:])
    is_contradicted = opening is not None and any(reader.is_other(line, opening) for line in later)
    found = conclusion(lines, reader)
    if claimed:
        if found and (found.label not in (None, claimed.label) or found.denied == claimed.label is not None):
            return None
        found = claimed
    if found is None:
        return None if is_contradicted else opening
    listed = {letter for line in dict.fromkeys(lines) if (letter := reader.listed(line))}
    if len(listed) > 1 and (opening is None or reader.listed(lines[0])):
        return found.label
    if opening is None:
        return found.label if reader.begins_with(lines[0]) in (None, found.label) else None
    agrees = found.label == opening or (found.label is None and found.denied != opening)
    return opening if agrees and not is_contradicted else None
