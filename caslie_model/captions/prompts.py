"""What a captioner is asked of an image: a template per task, filled with what the image belongs to; or a general one.

Neither the answer nor the options of a question are shown, but for the text of the option that an image is of. A
general caption is rewritten by the templates of the tasks too, which then show the caption in the place of the image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.prompts.message import broken_up
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.templating import compiled, rendered

# Each is raised whenever its template asks for other captions than before.
TEMPLATES_VERSION = 1
GENERAL_VERSION = 1
REWRITING_VERSION = 1
# Characters of one text; a review may be long, and its beginning says what it is about.
MAX_CHARACTERS = 1000
# Of a history, the last ones.
MAX_HISTORY = 5
_NUMBER = re.compile(r"^\d+(?:st|nd|rd|th): ")


def general_prompt(max_words: int) -> str:
    """Return what a captioner is asked of an image, whatever sample shows it.

    Args:
        max_words: Words of the caption at most.
    """
    return rendered(compiled("captions/general.j2"), {"max_words": max_words})


def caption_prompt(
    sample: Sample,
    role: str,
    max_words: int,
    control_texts: Sequence[str] = (),
    general: str | None = None,
) -> str:
    """Return what a captioner is asked of an image of a sample.

    Args:
        sample: The sample.
        role: The item that the image shows: product, history 3, option B, ….
        max_words: Words of the caption at most.
        control_texts: Texts of the captioner's control tokens, which no text of the sample may contain.
        general: A caption of the image that is to be rewritten for the sample, by a model that is not shown the image.

    Returns:
        The text that stands behind the image, or alone.

    Raises:
        DatasetError: If the sample lacks a text that its task has.
    """

    def shown(text: str) -> str:
        return broken_up(text[:MAX_CHARACTERS], control_texts)

    kind, _, item = role.partition(" ")
    fields = {field.name: field.texts for field in sample.fields}
    # Without their numbers: of one purchase in many histories one caption is enough.
    entries = tuple(_NUMBER.sub("", text) for text in fields.get("", ()))
    if kind == "history":
        own = entries[int(item) - 1] if item.isdecimal() and 0 < int(item) <= len(entries) else ""
    elif kind == "option":
        own = sample.options.get(item, "")
    else:
        own = "\n".join(fields.get(role, ()))
    others = (texts for name, texts in fields.items() if name.startswith("product ") and name != role)
    variables = {
        "kind": kind,
        "own": shown(own),
        "other": shown("\n".join(next(others, ()))),
        "history": [("bought before", shown(text)) for text in entries[-MAX_HISTORY:]],
        "fields": {name: shown("\n".join(texts)) for name, texts in fields.items()},
        "general": None if general is None else broken_up(general, control_texts),
        "max_words": max_words,
    }
    _check(sample, kind, own, fields)
    return rendered(_template(sample.task), variables)


def _check(sample: Sample, kind: str, own: str, fields: dict[str, tuple[str, ...]]) -> None:
    """Check that what the template shows is there: an empty text would be no context."""
    wanted = _FIELDS.get(sample.task)
    missing = [name for name in wanted or () if name not in fields]
    if missing or (wanted is None and not own):
        what = ", ".join(missing) or f"text of its {kind}"
        raise DatasetError(
            f"sample {sample.id} ({sample.task}): its input has no {what}; build the dataset again"
        )


# Names in the input that a template shows; of other tasks, an image's own item must have a text.
_FIELDS: dict[str, tuple[str, ...]] = {
    "answerability_prediction": ("question",),
    "category_classification": ("title",),
    "multiclass_product_classification": ("query", "product title"),
    "product_substitute_identification": ("query", "product title"),
    "sentiment_analysis": ("review",),
}


@cache
def _template(task: str) -> Any:
    return compiled(f"captions/{task}.j2")


def within_words(text: str, max_words: int) -> str:
    """Return a caption on one line and within its limit: cut behind its last whole sentence, else behind a word.

    Args:
        text: What the captioner wrote.
        max_words: Words at most.
    """
    words = text.split()
    if len(words) <= max_words:
        return " ".join(words)
    kept = words[:max_words]
    ends = [number for number, word in enumerate(kept, 1) if word.rstrip("\"')").endswith((".", "!", "?"))]
    return " ".join(kept[: ends[-1]] if ends else kept)
