"""Shorten the texts of a prompt to fit."""

from __future__ import annotations

from dataclasses import replace

from caslie_model.data.samples import InputField

ELLIPSIS = " …"


def without_first(field: InputField, count: int) -> InputField:
    """Return the field without its first `count` texts."""
    return replace(field, texts=field.texts[count:], items=field.items[count:])


def cut_texts(field: InputField, length: int) -> InputField:
    """Return the field with each text cut to `length` characters."""
    return replace(field, texts=tuple(_cut(text, length) for text in field.texts))


def _cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters, cut between words where one is near."""
    if len(text) <= length:
        return text
    kept = text[: length - len(ELLIPSIS)]
    space = kept.rfind(" ", max(0, len(kept) - 20))
    return (kept[:space] if space > 0 else kept) + ELLIPSIS
