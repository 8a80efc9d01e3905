"""Prompts: how samples become tokens, the same in training and in prediction.

The user's message is rendered from a template (sandboxed, strict). A tokenizer's own chat template wraps it; without
one, a plain template does. Prompt and answer become tokens separately and are then joined, in training and in
prediction alike, so the border between them cannot shift.

A prompt that is too long loses its demonstrations, from the first on, then words of its captions, then text of its
input, never of its instruction, its options or its answer: the oldest entries of a nameless list (a purchase history),
then the ends of the longest texts. Images are never cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from caslie_model.data.answers import written_answer
from caslie_model.data.images import MAX_ITEMS, SampleImage
from caslie_model.data.samples import InputField, Sample
from caslie_model.prompts.bounds import bounded_render
from caslie_model.prompts.captions import longest_caption
from caslie_model.prompts.chat import end_token, user_turn
from caslie_model.prompts.image_spans import (
    PlacedImage,
    number_items,
    spliced,
    tokens_with_items,
    unmarked,
)
from caslie_model.prompts.message import broken_up, control_texts, items_of, user_text
from caslie_model.prompts.templates import compile_template
from caslie_model.prompts.truncation import shortened_texts
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint

# Tokens of the instruction, and of an item's text, that guide the resampler.
GUIDE_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample in tokens.

    Attributes:
        sample: The sample.
        prompt: Tokens of the prompt.
        answers: Tokens of each allowed label, with the token that ends an answer.
        shortened: Whether its input was shortened to fit.
        captions_cut: Whether its captions were.
        images: Its images.
        token_items: Item of each token of the prompt; empty without images.
        token_slots: Index of the visual token at each token of the prompt, -1 for text; empty without visual tokens.
    """

    sample: Sample
    prompt: tuple[int, ...]
    answers: dict[str, tuple[int, ...]]
    shortened: bool
    captions_cut: bool = False
    images: tuple[PlacedImage, ...] = ()
    token_items: tuple[int, ...] = ()
    token_slots: tuple[int, ...] = ()

    @property
    def target(self) -> tuple[int, ...]:
        """Tokens of the right answer."""
        return self.answers[self.sample.output]

    @property
    def answer_room(self) -> int:
        """Number of tokens of the longest allowed answer."""
        return max(len(tokens) for tokens in self.answers.values())

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the question as the model gets it: prompt, answers and images."""
        images = [[image.key, image.role, list(image.guide)] for image in self.images]
        return fingerprint([self.prompt, sorted(self.answers.items()), *([images] if images else [])])[:16]


class _Prompt(NamedTuple):
    tokens: tuple[int, ...]
    items: tuple[int, ...]
    start: int  # of the instruction


@dataclass(frozen=True)
class PromptFormat:
    """Everything that decides how samples become tokens.

    Attributes:
        tokenizer: The base model's.
        user_template: Jinja template of the user's message.
        plain_template: Jinja template around it for a tokenizer without a chat template.
        answers: letter or text.
        max_length: Tokens of prompt and answer together.
        visual_tokens: Visual tokens of an image in the prompt (concat), 0 for none.
        ends_by_eos: End answers by the end-of-sequence token, whatever the chat template closes a turn by.
    """

    tokenizer: Any
    user_template: str
    plain_template: str
    answers: str
    max_length: int
    visual_tokens: int = 0
    ends_by_eos: bool = False

    def encode(
        self, sample: Sample, images: Sequence[SampleImage] = (), shots: Sequence[Sample] = ()
    ) -> Encoded:
        """Return a sample in tokens.

        Args:
            sample: The sample.
            images: Its images.
            shots: Samples that are shown with their answers before it, as text.

        Returns:
            The sample in tokens, shortened where it does not fit.

        Raises:
            DatasetError: If it does not fit into max_length even when shortened, or has images of more items than can
                be numbered.
        """
        numbers = number_items(images)
        if len(numbers) > MAX_ITEMS:
            raise DatasetError(
                f"sample {sample.id} ({sample.task}): {len(numbers)} items with images, at most {MAX_ITEMS} can be "
                "numbered; build the dataset with shorter histories or fewer options, or leave the task out"
            )
        fields = tuple(replace(field, items=items_of(field, numbers)) for field in sample.fields)
        answers = {
            label: self._answer_tokens(written_answer(label, sample.options, self.answers))
            for label in sample.labels
        }
        # Room for the longest allowed answer: the prompt must not depend on which one is right.
        visual = self.visual_tokens * len(images)
        room = self.max_length - max(len(tokens) for tokens in answers.values()) - visual
        earlier = [self._turn(shot) for shot in shots]
        prompt = self._prompt_tokens(sample, fields, numbers, earlier)
        shortened = len(prompt.tokens) > room
        while earlier and len(prompt.tokens) > room:
            del earlier[0]
            prompt = self._prompt_tokens(sample, fields, numbers, earlier)
        captions_cut = False
        if len(prompt.tokens) > room:
            prompt = self._shorten(sample, fields, numbers, room, visual)
            captions_cut = longest_caption(sample) > 0
        if not images:
            return Encoded(sample, prompt.tokens, answers, shortened, captions_cut)
        placed = tuple(self._placed(sample, image, numbers.get(image.role, 0)) for image in images)
        if not self.visual_tokens:
            return Encoded(sample, prompt.tokens, answers, shortened, captions_cut, placed, prompt.items)
        spliced_in = spliced(*prompt, placed, self.visual_tokens, self.tokenizer.eos_token_id)
        tokens, items, slots = map(tuple, spliced_in)
        return Encoded(sample, tokens, answers, shortened, captions_cut, placed, items, slots)

    def encode_all(
        self, samples: Sequence[Sample], images: Mapping[str, Sequence[SampleImage]] | None = None
    ) -> list[Encoded]:
        """Return samples in tokens, in their order, with progress on stderr.

        Args:
            samples: The samples.
            images: Images by sample id, None for text.

        Returns:
            The samples in tokens.

        Raises:
            DatasetError: As `encode` does.
        """
        encoded = []
        with Progress("reading", len(samples), "samples") as progress:
            for sample in samples:
                encoded.append(self.encode(sample, (images or {}).get(sample.id, ())))
                progress.update(len(encoded))
        return encoded

    def render(self, sample: Sample) -> str:
        """Return the text that the model continues, without images.

        Args:
            sample: The sample.

        Returns:
            The prompt's text.
        """
        return unmarked(self._render_marked(sample, sample.fields, {})).text

    def _render_marked(
        self,
        sample: Sample,
        fields: Sequence[InputField],
        numbers: Mapping[str, int],
        earlier: Sequence[tuple[str, str]] = (),
        caption_words: int | None = None,
    ) -> str:
        user = user_text(self._user, sample, fields, numbers, self.answers, self.defused, caption_words)
        return self._wrapped(user, earlier)

    def _wrapped(self, user: str, earlier: Sequence[tuple[str, str]] = ()) -> str:
        """Return a conversation as the model continues it, by its chat template, else by the plain one."""
        if self.tokenizer.chat_template:
            return user_turn(self.tokenizer, user, earlier)
        before = "".join(
            f"{self._fill(self._plain, user=asked).rstrip()}\n{answer}\n\n" for asked, answer in earlier
        )
        return f"{before}{self._fill(self._plain, user=user).rstrip()}\n"

    def _turn(self, shot: Sample) -> tuple[str, str]:
        """Return what user and assistant say of a sample that is shown with its answer."""
        user = user_text(self._user, shot, shot.fields, {}, self.answers, self.defused)
        return unmarked(user).text, self.defused(written_answer(shot.output, shot.options, self.answers))

    @cached_property
    def _user(self) -> Any:
        return compile_template(self.user_template)

    @cached_property
    def _plain(self) -> Any:
        return compile_template(self.plain_template)

    def _fill(self, template: Any, **values: Any) -> str:
        return bounded_render(template, values, "the prompt template")

    @cached_property
    def end(self) -> int:
        """Id of the token that ends an answer."""
        return int(self.tokenizer.eos_token_id) if self.ends_by_eos else end_token(self.tokenizer)

    @cached_property
    def _special_texts(self) -> tuple[str, ...]:
        return control_texts(self.tokenizer)

    def defused(self, text: str) -> str:
        """Return a dataset's text as the model is shown and taught it, with control tokens broken up.

        A review must not be able to end the user's turn, nor to start another.

        Args:
            text: Any text of a sample.

        Returns:
            The text without markers and control tokens.
        """
        return broken_up(text, self._special_texts)

    def message_tokens(self, message: str) -> tuple[int, ...]:
        """Return any message of a user as the tokens that the model continues.

        Args:
            message: The text, whose parts from a dataset are `defused`.
        """
        # A chat template writes its own control tokens.
        special = not self.tokenizer.chat_template
        tokens = self.tokenizer(self._wrapped(message), add_special_tokens=special)["input_ids"]
        if special and tokens and tokens[-1] == self.tokenizer.eos_token_id:
            tokens = tokens[:-1]
        return tuple(tokens)

    def _answer_tokens(self, answer: str) -> tuple[int, ...]:
        tokens = self.tokenizer(self.defused(answer), add_special_tokens=False)["input_ids"]
        return (*tokens, self.end)

    def _prompt_tokens(
        self,
        sample: Sample,
        fields: Sequence[InputField],
        numbers: Mapping[str, int],
        earlier: Sequence[tuple[str, str]] = (),
        caption_words: int | None = None,
    ) -> _Prompt:
        prompt = unmarked(self._render_marked(sample, fields, numbers, earlier, caption_words))
        # A chat template writes its own control tokens.
        special = not self.tokenizer.chat_template
        if numbers or self.visual_tokens:
            tokens, items, start = tokens_with_items(self.tokenizer, prompt, special)
        else:
            tokens = self.tokenizer(prompt.text, add_special_tokens=special)["input_ids"]
            items, start = [0] * len(tokens), 0
        if special and tokens and tokens[-1] == self.tokenizer.eos_token_id:
            tokens, items = tokens[:-1], items[:-1]
        return _Prompt(tuple(tokens), tuple(items), start)

    def _placed(self, sample: Sample, image: SampleImage, item: int) -> PlacedImage:
        """Return an image with its guide: never a word of the answer, which the label would leak from."""
        guide = self._head(sample.instruction) + self._head(_text_of(sample, image.role, item))
        return PlacedImage(image.key, image.role, item, guide)

    def _head(self, text: str) -> tuple[int, ...]:
        tokens = self.tokenizer(self.defused(text), add_special_tokens=False)["input_ids"]
        return tuple(tokens[:GUIDE_TOKENS])

    def _shorten(
        self,
        sample: Sample,
        fields: Sequence[InputField],
        numbers: Mapping[str, int],
        room: int,
        visual: int,
    ) -> _Prompt:
        best, needed = shortened_texts(
            fields,
            longest_caption(sample),
            room,
            lambda shorter, words: len(self._prompt_tokens(sample, shorter, numbers, (), words).tokens),
        )
        if best is None:
            fewer = " (fewer with connector.latents, for concat-full with vision.pool)"
            images = f", its images {visual}{fewer}" if visual else ""
            raise DatasetError(
                f"sample {sample.id} ({sample.task}): its instruction and options alone take about {needed} "
                f"tokens{images}, and its longest answer {self.max_length - room - visual}: more than "
                f"max_length={self.max_length}; raise max_length or leave the task out"
            )
        return self._prompt_tokens(sample, best.fields, numbers, (), best.caption_words)


def _text_of(sample: Sample, role: str, item: int) -> str:
    """Return the text of an item; of an image that belongs to none, all text of the input but lists."""
    if item:
        kind, _, name = role.partition(" ")
        if kind == "option":
            return sample.options.get(name, "")
        for field in sample.fields:
            if kind == "history" and field.is_list and not field.name and name.isdecimal():
                return field.texts[int(name) - 1] if 0 < int(name) <= len(field.texts) else ""
            if field.name == role:
                return " ".join(field.texts)
    return " ".join(text for field in sample.fields if not field.is_list for text in field.texts)
