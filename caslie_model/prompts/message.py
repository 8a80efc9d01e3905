"""The user's message: a sample's instruction, input and options as text, with its images in their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from caslie_model.data.answers import written_answer
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import InputField, Sample
from caslie_model.prompts.bounds import bounded_render
from caslie_model.prompts.captions import captions_by_role, option_with_caption, with_captions
from caslie_model.prompts.image_spans import marked, marked_start, number_items, unmarked, without_marks
from caslie_model.prompts.templates import compile_template

Part: TypeAlias = str | SampleImage
Role: TypeAlias = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """What one side of a conversation says.

    Attributes:
        role: Whose turn it is.
        parts: Texts and images in their order. Texts are free of control tokens (`MessageFormat.defused`).
    """

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class MessageFormat:
    """How a sample becomes a user's message for models that take texts and images by turns.

    Attributes:
        template: Jinja template of the message (`user.j2`).
        answers: letter or text.
        control_texts: Texts of the model's control tokens, which no text of the dataset may contain.
    """

    template: str
    answers: str
    control_texts: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> Any:
        return compile_template(self.template)

    def defused(self, text: str) -> str:
        """Return a dataset's text as the model is shown it, with control tokens broken up."""
        return broken_up(text, self.control_texts)

    def fields(self, sample: Sample, images: Sequence[SampleImage] = ()) -> tuple[InputField, ...]:
        """Return a sample's input with the items of its texts, which stay right when texts are cut or dropped."""
        numbers = number_items(images)
        return tuple(replace(field, items=items_of(field, numbers)) for field in sample.fields)

    def parts(
        self,
        sample: Sample,
        images: Sequence[SampleImage] = (),
        fields: Sequence[InputField] | None = None,
        caption_words: int | None = None,
    ) -> tuple[Part, ...]:
        """Return the message as texts and images in their order.

        An image stands before the text of its item (an entry of a history, an option, one of two products), one that
        belongs to none before the instruction.

        Args:
            sample: The sample.
            images: Its images.
            fields: Its input where it was shortened (from `fields`); None: as it is.
            caption_words: Words of a caption at most; None: all.

        Returns:
            Texts and images; texts that follow one another are one.

        Raises:
            ModelError: If the template cannot be filled.
        """
        numbers = number_items(images)
        shown = self.fields(sample, images) if fields is None else fields
        text, spans, _ = unmarked(
            user_text(self._compiled, sample, shown, numbers, self.answers, self.defused, caption_words)
        )
        starts = {span.item: span.start for span in reversed(spans)}
        placed = sorted(
            ((starts.get(numbers.get(image.role, 0), 0), image) for image in images),
            key=lambda pair: pair[0],
        )
        parts: list[Part] = []
        position = 0
        for start, image in placed:
            if start > position:
                parts.append(text[position:start])
                position = start
            parts.append(image)
        return (*parts, text[position:]) if position < len(text) else tuple(parts)

    def turns(
        self,
        sample: Sample,
        images: Sequence[SampleImage] = (),
        fields: Sequence[InputField] | None = None,
        shots: Sequence[tuple[Sample, Sequence[SampleImage]]] = (),
        caption_words: int | None = None,
    ) -> tuple[Turn, ...]:
        """Return a sample as a conversation up to the place where the assistant answers.

        Args:
            sample: The sample.
            images: Its images.
            fields: Its input where it was shortened (from `fields`); None: as it is.
            shots: Samples with their images, whose answers are shown before it.
            caption_words: Words of the sample's captions at most; None: all.

        Returns:
            Turns of user and assistant.

        Raises:
            ModelError: As `parts` does.
        """
        earlier = [
            turn
            for shot, shown in shots
            for turn in (
                Turn("user", self.parts(shot, shown)),
                Turn("assistant", (self.written(shot, shot.output),)),
            )
        ]
        return (*earlier, Turn("user", self.parts(sample, images, fields, caption_words)))

    def written(self, sample: Sample, label: str) -> str:
        """Return a label of a sample as the model is shown and taught it."""
        return self.defused(written_answer(label, sample.options, self.answers))


def user_text(
    template: Any,
    sample: Sample,
    fields: Sequence[InputField],
    numbers: Mapping[str, int],
    answers: str,
    defused: Callable[[str], str],
    caption_words: int | None = None,
) -> str:
    """Return the text of the user's message, with markers around the items' texts.

    Args:
        template: The compiled template.
        sample: The sample.
        fields: Its input, with the items of its texts.
        numbers: The number of each item with images, by role.
        answers: letter or text.
        defused: Breaks up control tokens.
        caption_words: Words of a caption at most; None: all.

    Returns:
        The text.

    Raises:
        ModelError: If the template cannot be filled.
    """
    captions = captions_by_role(sample, caption_words)
    variables = {
        "instruction": marked_start(defused(sample.instruction)),
        "fields": [
            replace(
                field,
                name=defused(field.name),
                texts=tuple(
                    marked(defused(text), item)
                    for text, item in zip(field.texts, field.items or [0] * len(field.texts), strict=True)
                ),
            )
            for field in with_captions(fields, captions)
        ],
        "options": [
            marked(
                f"{letter}: {defused(option_with_caption(letter, text, captions))}",
                numbers.get(f"option {letter}", 0),
            )
            for letter, text in sample.options.items()
        ],
        "answers": answers,
    }
    return bounded_render(template, variables, "the prompt template").strip()


def items_of(field: InputField, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Return the item of each text: entries of a nameless list are a history, a field may be named after an item."""
    if field.is_list and not field.name:
        return tuple(numbers.get(f"history {number}", 0) for number in range(1, len(field.texts) + 1))
    return (numbers.get(field.name, 0),) * len(field.texts)


def control_texts(tokenizer: Any) -> tuple[str, ...]:
    """Return the texts of a tokenizer's control tokens, the longest first."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values())
    return tuple(sorted((text for text in added if len(text) > 1), key=lambda text: (-len(text), text)))


def broken_up(text: str, controls: Sequence[str]) -> str:
    """Return a text without markers, whose control tokens have a blank inside.

    A review must not be able to end the user's turn, nor to start another.

    Args:
        text: Any text of a sample.
        controls: Texts of control tokens, the longest first.

    Returns:
        The text.
    """
    text = without_marks(text)
    for control in controls:
        if control in text:
            text = text.replace(control, f"{control[0]} {control[1:]}")
    return text
