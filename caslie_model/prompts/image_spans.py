"""Which text of a prompt belongs to which image.

The text of an item (an entry of a history, an option, one of two products) attends to its own image; all other text
attends to all images of its sample. To find an item's tokens, its text is put between marker characters while the
prompt is rendered. The markers are removed before anything becomes tokens, so a prompt is the same with and without
images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from caslie_model.data.images import SampleImage
from caslie_model.errors import ModelError

# Characters for private use: what a text of the dataset holds of them is dropped (`without_marks`).
_OPEN, _CLOSE, _START = "\uf8f0", "\uf8f1", "\uf8f2"
_FIRST_NUMBER, _LAST_NUMBER = 0xF000, 0xF8EF
_ANY_MARK = re.compile("[\uf000-\uf8f2]")

_ITEM_ROLE = re.compile(r"^(history|option|product) \S+$")
ROLE_KINDS = {"history": 1, "option": 2}
SINGLE, OTHER = 0, 3


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """An image of a sample, and the text that it belongs to.

    Attributes:
        key: SHA-256 of its bytes.
        role: product, history 3, option B, …
        item: Number of the only item whose text attends to it, 0 where all text does.
        guide: Tokens that guide the resampler: the first ones of the instruction and of the item's text.
    """

    key: str
    role: str
    item: int
    guide: tuple[int, ...]

    @property
    def kind(self) -> int:
        """Kind of the shown item: 0 the only product or review, 1 an entry of a history, 2 an option, 3 other."""
        return SINGLE if self.item == 0 else ROLE_KINDS.get(self.role.partition(" ")[0], OTHER)


class Span(NamedTuple):
    """Characters `start` to `end` of a prompt that belong to an item."""

    start: int
    end: int
    item: int


class Unmarked(NamedTuple):
    """A prompt without markers, the items' spans in it, and the character where its instruction starts."""

    text: str
    spans: list[Span]
    start: int


def number_items(images: Sequence[SampleImage]) -> dict[str, int]:
    """Number the items that have images, where a sample has several.

    Args:
        images: The images of a sample.

    Returns:
        A number from 1 by role, such as `history 3` or `option B`.
    """
    roles = dict.fromkeys(image.role for image in images if _ITEM_ROLE.match(image.role))
    return {role: number for number, role in enumerate(roles, start=1)}


def without_marks(text: str) -> str:
    """Return a text without the characters that serve as markers."""
    return _ANY_MARK.sub("", text)


def marked(text: str, item: int) -> str:
    """Return an item's text between markers.

    Args:
        text: The item's text.
        item: Its number, 0 for text of no item, which is returned as it is.

    Returns:
        The marked text.

    Raises:
        ModelError: If the number is too large for the markers.
    """
    if item == 0:
        return text
    if _FIRST_NUMBER + item > _LAST_NUMBER:
        raise ModelError(f"a sample with {item} items with images: at most {_LAST_NUMBER - _FIRST_NUMBER}")
    return f"{_OPEN}{chr(_FIRST_NUMBER + item)}{text}{_CLOSE}"


def marked_start(text: str) -> str:
    """Return the instruction with a marker before it."""
    return _START + text


def unmarked(text: str) -> Unmarked:
    """Remove the markers from a rendered prompt.

    Args:
        text: The prompt with markers.

    Returns:
        Text, spans of items and start of the instruction.
    """
    parts: list[str] = []
    spans: list[Span] = []
    length = start = opened = item = 0
    position = 0
    while position < len(text):
        match = _ANY_MARK.search(text, position)
        end = len(text) if match is None else match.start()
        parts.append(text[position:end])
        length += end - position
        position = end + 1
        if match is None:
            break
        if match[0] == _START:
            start = length
        elif match[0] == _OPEN:
            opened, item = length, ord(text[position]) - _FIRST_NUMBER
            position += 1
        elif match[0] == _CLOSE:
            spans.append(Span(opened, length, item))
    return Unmarked("".join(parts), spans, start)


def tokens_with_items(
    tokenizer: Any, prompt: Unmarked, add_special_tokens: bool
) -> tuple[list[int], list[int], int]:
    """Return tokens with the item that each belongs to: that of its last character.

    Args:
        tokenizer: A fast tokenizer.
        prompt: The prompt without markers, with spans.
        add_special_tokens: Whether the tokenizer adds its own.

    Returns:
        Tokens [T], item of each [T], and the position of the instruction's first token.

    Raises:
        ModelError: If the tokenizer cannot say which characters a token covers.
    """
    if not tokenizer.is_fast:
        raise ModelError("images need a fast tokenizer, which knows the characters of its tokens")
    encoded = tokenizer(prompt.text, add_special_tokens=add_special_tokens, return_offsets_mapping=True)
    items = []
    start: int | None = None
    spans = iter(prompt.spans)
    span = next(spans, None)
    for index, (begin, end) in enumerate(encoded["offset_mapping"]):
        while span is not None and end > span.end:
            span = next(spans, None)
        inside = span is not None and begin < end and span.start < end
        items.append(span.item if span is not None and inside else 0)
        if start is None and end > prompt.start:
            start = index
    return encoded["input_ids"], items, start or 0


def spliced(
    tokens: Sequence[int],
    items: Sequence[int],
    start: int,
    images: Sequence[PlacedImage],
    per_image: int,
    filler: int,
) -> tuple[list[int], list[int], list[int]]:
    """Return tokens, items and slots with positions for visual tokens.

    An image is put before the text of its item; one without an item, or whose item's text was cut, before the
    instruction.

    Args:
        tokens: Tokens of the prompt [T].
        items: Item of each token [T].
        start: Position of the instruction.
        images: The images of the sample, N of them.
        per_image: Visual tokens of an image.
        filler: Token at their positions.

    Returns:
        Tokens, items and slots, each [T + N * per_image]. The k-th visual token of image n has slot n * per_image + k,
        text has -1.
    """
    before: dict[int, list[int]] = {}
    for number, image in enumerate(images):
        found = image.item != 0 and image.item in items
        before.setdefault(items.index(image.item) if found else start, []).append(number)
    new_tokens, new_items, slots = list[int](), list[int](), list[int]()
    for index in range(len(tokens) + 1):
        for number in before.get(index, ()):
            new_tokens += [filler] * per_image
            new_items += [0] * per_image
            slots += range(number * per_image, (number + 1) * per_image)
        if index < len(tokens):
            new_tokens.append(tokens[index])
            new_items.append(items[index])
            slots.append(-1)
    return new_tokens, new_items, slots
