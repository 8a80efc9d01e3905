"""What a judge is asked of a caption: whether it is useful for what its sample asks.

Usefulness is relative: "mostly red" helps a search for a red hat, and nobody else. So a judge gets what the task
decides, the texts that the captioner was given for the image, and the options among which the task chooses, as the
model that is to read the caption sees them too. It gets no right answer, no passages of reviews and no other
captions; of a recommendation an image's own item and the last purchases alone, whose options are products with
images of their own. Equal questions of several samples are asked once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from caslie_model.captions.judging.decisions import JudgedCaption
from caslie_model.captions.prompts import MAX_CHARACTERS, MAX_HISTORY, without_numbers
from caslie_model.data.samples import InputField, Sample
from caslie_model.inference.questions import Question
from mmecinstruct.core.templating import compiled, rendered

# Raised whenever the template, or what fills it, asks another thing than before.
TEMPLATE_VERSION = 2
_TEMPLATE = "judging/vote.j2"
# Of a question of the shop's, the texts that a captioner is not given either.
_LEFT_OUT = ("document",)


def usefulness_question(item: JudgedCaption) -> Question:
    """Return the question whether a caption is useful, to be answered by yes or no.

    Args:
        item: The caption.
    """
    sample = item.sample
    asked = Sample(
        id=sample.id,
        task=sample.task,
        split=sample.split,
        category=sample.category,
        instruction=rendered(compiled(_TEMPLATE), {"task": sample.task, "image": _image(item.role)}),
        instruction_unseen=None,
        fields=(*_context(sample, item.role), _quoted("caption of the image", [item.caption])),
        options={},
        # No answer is right: none is read.
        output="yes",
        visual_critical=None,
        text_only_accuracy=None,
    )
    return Question(asked, variant=f"image {item.position} ({item.role})")


_IMAGES = {
    "product": "the image of the product",
    "review": "the photograph that belongs to the review",
    "history": "the image of a product that the customer bought before",
    "option": "the image of a product that the customer may buy next",
}


def _image(role: str) -> str:
    """Return the image of an item in words."""
    kind, _, name = role.partition(" ")
    return (
        "the image of one of them"
        if kind == "product" and name
        else _IMAGES.get(kind, f"the image of the {kind}")
    )


def _context(sample: Sample, role: str) -> Iterator[InputField]:
    """Yield the texts that a caption is judged by."""
    kind, _, name = role.partition(" ")
    # First: many captions of a task have the same, which is then computed once for all of them.
    if kind not in ("history", "option") and sample.options:
        yield _quoted("possible decisions", [*sample.options.values()], is_list=True)
    for field in sample.fields:
        if field.is_list and not field.name:
            yield from _of_history(sample, field.texts, kind, name)
        elif field.name not in _LEFT_OUT:
            is_own = field.name == role and kind == "product" and name
            yield _quoted(f"{field.name} (the one of the image)" if is_own else field.name, field.texts)


def _of_history(sample: Sample, entries: tuple[str, ...], kind: str, name: str) -> Iterator[InputField]:
    bought = without_numbers(entries)
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
