"""Adapters, merged models and language models as a predictor: prompts in tokens, batches on a device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caslie_model.adapters.loading import LoadedModel
from caslie_model.batching.positions import check_positions
from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.images import Features
from caslie_model.errors import ConfigError, ModelError
from caslie_model.inference.predict import GENERATION_SLACK, predict_batch
from caslie_model.inference.questions import Prediction, Prepared, Question
from caslie_model.inference.shared_start import alike_batches
from caslie_model.prompts.encoder import Encoded
from caslie_model.runtime.progress import Progress


@dataclass(frozen=True, slots=True)
class PromptInTokens:
    """A question in tokens.

    Attributes:
        question: The question.
        encoded: Its tokens.
    """

    question: Question
    encoded: Encoded

    @property
    def fingerprint(self) -> str:
        """Fingerprint of prompt, answers and images."""
        return self.encoded.fingerprint

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.encoded.prompt)

    @property
    def shortened(self) -> bool:
        """Whether texts were cut, or demonstrations left out, so that it fits."""
        return self.encoded.shortened


def question_batches(asked: Iterable[PromptInTokens], size: int) -> Iterator[Sequence[PromptInTokens]]:
    """Yield batches of questions that start alike (`alike_batches`), whatever the order of the questions.

    Args:
        asked: Questions.
        size: Questions of a batch.
    """
    ordered = sorted(asked, key=lambda each: each.question.key)
    for batch in alike_batches([each.encoded.prompt for each in ordered], size):
        yield [ordered[index] for index in batch]


class LocalPredictor:
    """A model that `load_for_evaluation` loaded.

    Args:
        loaded: The model.
        config: Scoring and batch size.
        features: Features of images by key, for a fusion model.
    """

    def __init__(self, loaded: LoadedModel, config: PredictConfig, features: Features | None = None) -> None:
        if config.shots and loaded.vision is not None:
            raise ConfigError(
                f"shots={config.shots}: {config.model} shows images to a model that was trained on single questions; "
                "demonstrations are for language models, image-text models of transformers and servers"
            )
        self._loaded, self._config, self._features = loaded, config, features

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The model's own, and the way of scoring."""
        return {
            **self._loaded.provenance,
            "scoring": self._config.scoring,
            "length_normalised": self._config.length_normalised,
        }

    def prepare(self, questions: Sequence[Question]) -> Sequence[PromptInTokens]:
        """Return questions in tokens, in their order, with progress on stderr.

        Raises:
            DatasetError: If one does not fit.
            ConfigError: If the model has too few positions.
        """
        prompt_format = self._loaded.prompt_format
        prepared = []
        with Progress("reading", len(questions), "questions") as progress:
            for question in questions:
                shots = [shot.sample for shot in question.shots]
                prepared.append(
                    PromptInTokens(question, prompt_format.encode(question.sample, question.images, shots))
                )
                progress.update(len(prepared))
        check_positions(
            self._loaded.model,
            prompt_format.max_length,
            max((each.length + each.encoded.answer_room for each in prepared), default=0),
            GENERATION_SLACK if self._config.scoring == "generate" else 0,
        )
        return prepared

    def answer(self, prepared: Sequence[Prepared]) -> Iterator[Sequence[tuple[PromptInTokens, Prediction]]]:
        """Yield the answers of one batch after the other, that of the longest prompt first.

        Raises:
            ModelError: If memory does not suffice.
        """
        import torch

        size = self._config.batch_size
        for batch in question_batches([each for each in prepared if isinstance(each, PromptInTokens)], size):
            try:
                predictions = predict_batch(
                    self._loaded,
                    [each.encoded for each in batch],
                    self._config.scoring,
                    self._config.length_normalised,
                    self._features,
                )
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    f"out of memory with batch_size={size}; give a smaller one: answers stay the same"
                ) from error
            yield list(zip(batch, predictions, strict=True))

    def close(self) -> None:
        """Hold nothing but memory."""
