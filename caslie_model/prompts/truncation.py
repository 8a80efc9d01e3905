"""Shorten the texts of a prompt so that it fits: captions first, then histories, then the ends of long texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from caslie_model.data.samples import InputField

ELLIPSIS = " …"
SHORTEST_TEXT = 16  # characters; a text is not shortened below


class Shortened(NamedTuple):
    """What is left of a prompt's texts.

    Attributes:
        fields: The input.
        caption_words: Words of a caption at most; None: as many as it has.
    """

    fields: list[InputField]
    caption_words: int | None


def shortened_texts(
    fields: Sequence[InputField],
    longest_caption: int,
    room: int,
    length: Callable[[Sequence[InputField], int | None], int],
) -> tuple[Shortened | None, int]:
    """Return texts that fit: with shorter captions, then without the oldest entries of a history, then cut.

    Args:
        fields: The input.
        longest_caption: Words of the longest caption; 0 without captions.
        room: Tokens that the prompt may have.
        length: Tokens of the prompt with an input and so many words of a caption.

    Returns:
        The texts, None where nothing fits, and the tokens of the shortest prompt that was tried then.
    """
    fields = list(fields)
    words: int | None = None
    if longest_caption:
        # The most words that fit, by bisection; none where even none do.
        low, high = 0, longest_caption - 1
        while low < high:
            middle = (low + high + 1) // 2
            if length(fields, middle) <= room:
                low = middle
            else:
                high = middle - 1
        words = low
        needed = length(fields, words)
        if needed <= room:
            return Shortened(fields, words), needed
    best, needed = _shortened_fields(fields, room, lambda shorter: length(shorter, words))
    return (None if best is None else Shortened(best, words)), needed


def _shortened_fields(
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
    return replace(field, texts=field.texts[count:], items=field.items[count:], dropped=field.dropped + count)


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
