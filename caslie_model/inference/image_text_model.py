"""Image-text-to-text models of transformers that answer questions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from caslie_model.backbones.image_text_model import TESTED_FAMILIES, ImageTextModel, load_image_text_model
from caslie_model.batching.positions import check_positions
from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.answers import parse_answer
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import MAX_ITEMS
from caslie_model.data.samples import InputField, Sample
from caslie_model.errors import ModelError
from caslie_model.inference.image_text_answers import batches, generated, likelihoods
from caslie_model.inference.image_text_inputs import ImageTextInputs, Prompt
from caslie_model.inference.predict import GENERATION_SLACK, are_near, is_near, scored_prediction
from caslie_model.inference.questions import Prediction, Prepared, Question
from caslie_model.prompts.captions import longest_caption
from caslie_model.prompts.image_spans import number_items
from caslie_model.prompts.message import MessageFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.prompts.truncation import shortened_texts
from caslie_model.runtime.console import say
from caslie_model.runtime.device import choose_device
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint

MAX_LENGTH = 16_384


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A question as a prompt.

    Attributes:
        question: The question.
        prompt: Text and images.
        answers: Tokens of each allowed label, with the token that ends an answer.
        length: Tokens of the prompt, its images and its longest answer.
        shortened: Whether texts were cut, or demonstrations left out, so that it fits.
        fingerprint: Fingerprint of prompt, images and answers.
    """

    question: Question
    prompt: Prompt
    answers: dict[str, tuple[int, ...]]
    length: int
    shortened: bool
    fingerprint: str

    @property
    def answer_room(self) -> int:
        """Number of tokens of the longest allowed answer."""
        return max(len(tokens) for tokens in self.answers.values())


def open_image_text_model(config: PredictConfig, images: ImageBytes) -> ImageTextPredictor:
    """Load an image-text-to-text model that answers questions as the config says.

    Args:
        config: Model, way of answering, `max_length`, `max_pixels`, batch size, device and precision.
        images: The bytes of the questions' images.

    Returns:
        The predictor.

    Raises:
        ModelError: If the model cannot be loaded, or has no chat template.
        ConfigError: If the device or `quantise` is not possible here.
    """
    device = choose_device(config.device, config.precision)
    loaded = load_image_text_model(config.model, device, config.quantise or "none")
    say(f"{config.model}: {loaded.family}, on {device}")
    if not loaded.is_tested:
        say(
            f"{loaded.family} is none of the families of image-text models that are tested "
            f"({', '.join(TESTED_FAMILIES)}): its samples are answered one by one, and each option in a pass of its own"
        )
    return ImageTextPredictor(config, ImageTextInputs(loaded, images, config.max_pixels))


class ImageTextPredictor:
    """Answers questions by generation, or by the likelihood of each allowed answer."""

    def __init__(self, config: PredictConfig, inputs: ImageTextInputs) -> None:
        """Keep a model and the settings of its answers.

        Args:
            config: The settings.
            inputs: The model, and the bytes of images.
        """
        self._config = config
        self._inputs = inputs
        self._answers = config.answers or "text"
        self._max_length = config.max_length or MAX_LENGTH

    @cached_property
    def _loaded(self) -> ImageTextModel:
        return self._inputs.loaded

    @cached_property
    def _format(self) -> MessageFormat:
        template, _ = packaged_templates()
        return MessageFormat(template, self._answers, control_texts=self._loaded.control_texts)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its answers depend on, by name."""
        loaded = self._loaded
        return {
            "base_model": loaded.name,
            "base_fingerprint": loaded.fingerprint,
            "revision": loaded.revision,
            "family": loaded.family,
            "user_template": self._format.template,
            "chat_template": loaded.chat_template,
            "answers": self._answers,
            "max_length": self._max_length,
            "max_pixels": self._inputs.max_pixels,
            "scoring": self._config.scoring,
            "length_normalised": self._config.length_normalised,
            "precision": loaded.device.precision,
            **({"quantise": loaded.quantise} if loaded.quantise != "none" else {}),
        }

    def prepare(self, questions: Sequence[Question]) -> Sequence[AskedPrompt]:
        """Return questions as prompts, in their order, shortened where they do not fit.

        Args:
            questions: The questions.

        Raises:
            DatasetError: If one does not fit into `max_length` even when shortened, or an image cannot be read.
            ConfigError: If the model has learnt fewer positions than are needed.
        """
        prepared = []
        with Progress("reading", len(questions), "questions") as progress:
            for question in questions:
                prepared.append(self._prepare(question))
                progress.update(len(prepared))
        check_positions(
            self._loaded.model,
            self._max_length,
            max((each.length for each in prepared), default=0),
            GENERATION_SLACK if self._config.scoring == "generate" else 0,
        )
        return prepared

    def answer(self, prepared: Sequence[Prepared]) -> Iterator[Sequence[tuple[AskedPrompt, Prediction]]]:
        """Yield answers by batches, the longest prompts first.

        Args:
            prepared: Questions from `prepare`.

        Raises:
            ModelError: If memory is too small.
        """
        import torch

        asked = [each for each in prepared if isinstance(each, AskedPrompt)]
        slack = GENERATION_SLACK if self._config.scoring == "generate" else 0
        lengths = [each.length + slack for each in asked]
        for batch in batches(self._inputs, [each.prompt for each in asked], lengths, self._config.batch_size):
            chosen = [asked[index] for index in batch]
            try:
                predictions = self._generate(chosen) if slack else self._score(chosen)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    f"out of memory with batch_size={self._config.batch_size}; give a smaller one: answers stay the "
                    "same; else smaller images by max_pixels, or quantise=4bit"
                ) from error
            yield list(zip(chosen, predictions, strict=True))

    def close(self) -> None:
        """Do nothing: the model is freed with the predictor."""

    def _prepare(self, question: Question) -> AskedPrompt:
        sample, images = question.sample, question.images
        if len(number_items(images)) > MAX_ITEMS:
            raise DatasetError(
                f"sample {sample.id} ({sample.task}): {len(number_items(images))} items with images, at most "
                f"{MAX_ITEMS} can be numbered; build the dataset with shorter histories or fewer options"
            )
        shots = [(shot.sample, shot.images) for shot in question.shots]

        def prompt_of(fields: Sequence[InputField] | None, caption_words: int | None = None) -> Prompt:
            return self._inputs.prompt(self._format.turns(sample, images, fields, shots, caption_words))

        answers = {label: self._answer_tokens(sample, label) for label in sample.labels}
        # Room for the longest allowed answer: the prompt must not depend on which one is right.
        longest = max(len(tokens) for tokens in answers.values())
        prompt = prompt_of(None)
        length = self._inputs.length(prompt) + longest
        shortened = length > self._max_length
        while shots and length > self._max_length:
            del shots[0]
            prompt = prompt_of(None)
            length = self._inputs.length(prompt) + longest
        if length > self._max_length:
            of_images = self._inputs.image_length(images)
            texts, needed = shortened_texts(
                self._format.fields(sample, images),
                longest_caption(sample),
                self._max_length - longest - of_images,
                lambda shorter, words: self._inputs.text_length(prompt_of(shorter, words)),
            )
            if texts is None:
                raise self._too_long(question, of_images, needed + longest)
            prompt = prompt_of(*texts)
            length = self._inputs.length(prompt) + longest
        keys = [image.key for image in prompt.images]
        return AskedPrompt(
            question,
            prompt,
            answers,
            length,
            shortened,
            fingerprint([prompt.text, keys, sorted(answers.items())])[:16],
        )

    def _too_long(self, question: Question, of_images: int, of_text: int) -> DatasetError:
        sample, images = question.sample, question.images
        fewer = ""
        if self._inputs.image_length(images, 0.5) < of_images:
            fewer = f"give a smaller max_pixels (now {self._inputs.max_pixels:,}), "
        shown = f"its {len(images)} images take {of_images:,} tokens, " if images else ""
        return DatasetError(
            f"sample {sample.id} ({sample.task}): {shown}its instruction, options and longest answer alone about "
            f"{of_text:,}: more than max_length={self._max_length}; {fewer}raise max_length or leave the task out"
        )

    def _answer_tokens(self, sample: Sample, label: str) -> tuple[int, ...]:
        words = self._loaded.tokenizer(self._format.written(sample, label), add_special_tokens=False)
        return (*words["input_ids"], self._loaded.end)

    def _generate(self, asked: Sequence[AskedPrompt]) -> list[Prediction]:
        results = []
        prompts = [each.prompt for each in asked]
        budgets = [each.answer_room + GENERATION_SLACK for each in asked]
        said = generated(self._inputs, prompts, budgets)
        for each, budget, result in zip(asked, budgets, said, strict=True):
            alone = len(asked) > 1 and is_near(result.lead, self._loaded.device.precision)
            if alone:
                [result] = generated(self._inputs, [each.prompt], [budget])
            finite = not math.isnan(result.lead)
            options = {
                letter: self._format.defused(words) for letter, words in each.question.sample.options.items()
            }
            label = parse_answer(result.text, options, self._answers) if finite else None
            results.append(Prediction(label, result.text, None, alone, finite))
        return results

    def _score(self, asked: Sequence[AskedPrompt]) -> list[Prediction]:
        results = []
        scored = likelihoods(self._inputs, [each.prompt for each in asked], [each.answers for each in asked])
        for each, scores in zip(asked, scored, strict=True):
            alone = len(asked) > 1 and are_near(each, scores, self._loaded.device.precision)
            if alone:
                [scores] = likelihoods(self._inputs, [each.prompt], [each.answers])
            results.append(scored_prediction(each, scores, self._config.length_normalised, alone))
        return results
