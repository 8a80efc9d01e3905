"""Captions in the user's message: under a key of their own, or beside the item that their image shows.

An image of the only product or of a review gives a field `what the image shows` behind the input, one of two products a
field behind the product's own. The caption of an entry of a history, or of an option, stands in its line. What has no
caption is as without captions at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from caslie_model.data.samples import InputField, Sample

# Trained adapters know these words: a change makes their prompts others.
_KEY = "what the image shows"
_KEY_OF_ITEM = "what the image of {} shows"
_BESIDE = "{} (its image shows: {})"
_HISTORY, _OPTION, _PRODUCT = _ITEMS = "history ", "option ", "product "
_ELLIPSIS = "…"


def captions_by_role(sample: Sample, words: int | None = None) -> dict[str, str]:
    """Return the captions of a sample by the item that their images show.

    Args:
        sample: The sample.
        words: Words of each at most; 0: none is shown. None: all words.

    Returns:
        Captions by role; those of several images of an item are one text.
    """
    if words == 0 or not sample.captions:
        return {}
    found: dict[str, list[str]] = {}
    for role, caption in zip(sample.image_roles, sample.captions, strict=True):
        if caption:
            found.setdefault(role, []).append(_cut(caption, words))
    return {role: " ".join(texts) for role, texts in found.items()}


def longest_caption(sample: Sample) -> int:
    """Return the words of a sample's longest caption, 0 without captions."""
    return max((len(caption.split()) for caption in sample.captions if caption), default=0)


def with_captions(fields: Sequence[InputField], captions: Mapping[str, str]) -> list[InputField]:
    """Return an input with its captions; those of options are not of the input.

    Args:
        fields: The input, with the items of its texts.
        captions: By role.

    Returns:
        The fields, with those for captions among them.
    """
    if not captions:
        return list(fields)
    products = {role: text for role, text in captions.items() if role.startswith(_PRODUCT)}
    shown: list[InputField] = []
    for field in fields:
        if field.is_list and not field.name:
            shown.append(replace(field, texts=_beside_entries(field, captions)))
            continue
        shown.append(field)
        if field.name in products:
            key = _KEY_OF_ITEM.format(field.name)
            shown.append(InputField(key, (products.pop(field.name),), False, field.items[:1]))
    # Products whose own field is empty.
    shown += [InputField(_KEY_OF_ITEM.format(role), (text,), False) for role, text in products.items()]
    single = [text for role, text in captions.items() if not role.startswith(_ITEMS)]
    return [*shown, *([InputField(_KEY, (" ".join(single),), False)] if single else [])]


def option_with_caption(letter: str, text: str, captions: Mapping[str, str]) -> str:
    """Return the text of an option as it is shown.

    Args:
        letter: Its letter.
        text: Its words.
        captions: By role.
    """
    caption = captions.get(f"{_OPTION}{letter}")
    return text if caption is None else _BESIDE.format(text, caption)


def _beside_entries(field: InputField, captions: Mapping[str, str]) -> tuple[str, ...]:
    roles = (
        f"{_HISTORY}{number}" for number in range(field.dropped + 1, field.dropped + len(field.texts) + 1)
    )
    return tuple(
        _BESIDE.format(text, captions[role]) if role in captions else text
        for text, role in zip(field.texts, roles, strict=True)
    )


def _cut(caption: str, words: int | None) -> str:
    kept = caption.split()
    return " ".join(kept if words is None or len(kept) <= words else [*kept[:words], _ELLIPSIS])
