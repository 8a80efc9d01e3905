"""Shorten the texts of a prompt so that it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from caslie_model.data.samples import InputField

ELLIPSIS = " …"
SHORTEST_TEXT = 16  # characters; a text is not shortened below


def shortened_fields(
    fields: Sequence[InputField], room: int, length: Callable[[Sequence[InputField]], int]
) -> tuple[list[InputField] | None, int]:
    """Return an input that fits: without the oldest entries of a history, then with long texts cut.

    Args:
        fields: The input.
        room: Tokens that its prompt may have.
        length: Tokens of the prompt with an input.

    Returns:
        The input, None where nothing fits, and the tokens of the shortest prompt that was tried then.
    """
    fields = list(fields)
    for index, field in enumerate(fields):
        if not field.is_list or field.name:
            continue
        # The fewest old entries whose loss makes it fit, by bisection.
        low, high = 0, len(field.texts) - 1
        while low < high:
            middle = (low + high) // 2
            fields[index] = without_first(field, middle)
            if length(fields) <= room:
                high = middle
            else:
                low = middle + 1
        fields[index] = without_first(field, low)
    needed = length(fields)
    if needed <= room:
        return fields, needed
    # The longest length of texts that fits, by bisection: long texts lose their ends, short ones stay.
    best = None
    longest = max((len(text) for field in fields for text in field.texts), default=0)
    low, high = SHORTEST_TEXT, max(SHORTEST_TEXT, longest)
    while low <= high:
        middle = (low + high) // 2
        cut = [cut_texts(field, middle) for field in fields]
        tokens = length(cut)
        if tokens <= room:
            best, low = cut, middle + 1
        else:
            needed, high = tokens, middle - 1
    return best, needed


def without_first(field: InputField, count: int) -> InputField:
    """Return a field without its first `count` texts."""
    return replace(field, texts=field.texts[count:], items=field.items[count:])


def cut_texts(field: InputField, length: int) -> InputField:
    """Return a field whose texts have at most `length` characters."""
    return replace(field, texts=tuple(_cut(text, length) for text in field.texts))


def _cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters, cut between words where one is near."""
    if len(text) <= length:
        return text
    kept = text[: length - len(ELLIPSIS)]
    space = kept.rfind(" ", max(0, len(kept) - 20))
    return (kept[:space] if space > 0 else kept) + ELLIPSIS
