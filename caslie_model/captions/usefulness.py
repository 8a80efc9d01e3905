"""What a judge is asked of a caption: whether it is useful for what its sample asks.

Usefulness is relative: "mostly red" helps a search for a red hat, and nobody else. So a judge gets what the task
decides, the texts that the captioner was given for the image, and the options among which the task chooses, as the
model that is to read the caption sees them too. It gets no right answer, no passages of reviews and no other
captions; of a recommendation an image's own item and the last purchases alone, whose options are products with
images of their own. Equal questions of several samples are asked once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from caslie_model.captions.decisions import JudgedCaption
from caslie_model.captions.prompts import MAX_CHARACTERS, MAX_HISTORY
from caslie_model.data.samples import InputField, Sample
from caslie_model.inference.questions import Question
from mmecinstruct.core.templating import compiled, rendered

# Raised whenever the template, or what fills it, asks another thing than before.
TEMPLATE_VERSION = 1
_TEMPLATE = "judging/vote.j2"
_NUMBER = re.compile(r"^\d+(?:st|nd|rd|th): ")
# Of a question of the shop's, the texts that a captioner is not given either.
_LEFT_OUT = ("document",)


def usefulness_question(item: JudgedCaption) -> Question:
    """Return the question whether a caption is useful, to be answered by yes or no.

    Args:
        item: The caption.
    """
    sample = item.sample
    kind = item.role.partition(" ")[0]
    asked = Sample(
        id=sample.id,
        task=sample.task,
        split=sample.split,
        category=sample.category,
        instruction=rendered(compiled(_TEMPLATE), {"task": sample.task, "item": _ITEMS.get(kind, kind)}),
        instruction_unseen=None,
        fields=(*_context(sample, item.role), _quoted("caption of the image", [item.caption])),
        options={},
        # No answer is right: none is read.
        output="yes",
        visual_critical=None,
        text_only_accuracy=None,
    )
    return Question(asked, variant=f"image {item.position} ({item.role})")


_ITEMS = {
    "history": "product that the customer bought before",
    "option": "product that may be bought next",
    "review": "product, taken by its buyer",
}


def _context(sample: Sample, role: str) -> Iterator[InputField]:
    """Yield the texts that a caption is judged by."""
    kind, _, name = role.partition(" ")
    for field in sample.fields:
        if field.is_list and not field.name:
            yield from _of_history(sample, field.texts, kind, name)
        elif field.name not in _LEFT_OUT:
            is_own = field.name == role and kind == "product" and name
            yield _quoted(f"{field.name} (the one of the image)" if is_own else field.name, field.texts)
    if kind not in ("history", "option") and sample.options:
        yield _quoted("to choose from", [*sample.options.values()], is_list=True)


def _of_history(sample: Sample, entries: tuple[str, ...], kind: str, name: str) -> Iterator[InputField]:
    # Without their numbers: a purchase in many histories is judged once.
    bought = [_NUMBER.sub("", text) for text in entries]
    own = sample.options.get(name, "") if kind == "option" else ""
    if kind == "history" and name.isdecimal() and 0 < int(name) <= len(bought):
        own = bought[int(name) - 1]
    yield _quoted("product of the image", [own])
    if kind == "option":
        yield _quoted("bought before", bought[-MAX_HISTORY:], is_list=True)


def _quoted(name: str, texts: list[str] | tuple[str, ...], is_list: bool = False) -> InputField:
    """Return texts as JSON strings, which cannot end their own quotation, on a line each."""
    shown = tuple(json.dumps(text[:MAX_CHARACTERS], ensure_ascii=False) for text in texts)
    return InputField(name, shown if is_list else (" ".join(shown),), is_list)
