"""A causal language model that rewrites general captions: it sees texts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.captions.captioner import (
    CaptionReply,
    CaptionRequest,
    Replies,
    beyond_positions,
    captioner_name,
    trained_with_images,
)
from caslie_model.config.captions import CaptionConfig
from caslie_model.config.evaluation import PredictConfig
from caslie_model.errors import ModelError
from caslie_model.hub.public_names import public_name
from caslie_model.inference.shared_start import ALIKE, alike_batches
from caslie_model.inference.text_answers import Tokens, text_replies
from caslie_model.prompts.message import control_texts
from caslie_model.runtime.console import say

# Of an adapter and its base model, what texts depend on beside the prompt.
_KEPT = ("base_fingerprint", "revision", "adapter_sha256", "adapter_revision", "precision", "quantise")


class LanguageModel:
    """A language model, adapter or merged model of text; greedy, so that its texts can be had again."""

    def __init__(self, config: CaptionConfig) -> None:
        """Load the model.

        Args:
            config: Model, sizes, device and precision.

        Raises:
            ModelError: If the model cannot be loaded, or was trained with images.
            ConfigError: If the device or `quantise` is not possible here.
        """
        self._loaded = load_for_evaluation(
            PredictConfig(
                model=config.captioner,
                data=config.data,
                out=Path(),
                device=config.device,
                precision=config.precision,
                # A preset may have one of its own.
                quantise=None if config.quantise == "none" else config.quantise,
            )
        )
        if self._loaded.vision is not None:
            raise trained_with_images(config.captioner)
        say(f"{config.captioner}: on {self._loaded.device}")
        self._config = config

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its texts depend on beside the prompt, by name."""
        loaded, known = self._loaded, self._loaded.provenance
        return {
            "model": captioner_name(self._config),
            "base_model": public_name(str(known["base_model"])),
            **{name: known[name] for name in _KEPT if known.get(name) is not None},
            "chat_template": loaded.tokenizer.chat_template or loaded.prompt_format.plain_template,
            "max_tokens": self._config.reply_tokens,
            "decoding": "greedy",
        }

    @property
    def control_texts(self) -> Sequence[str]:
        """Texts of its control tokens."""
        return control_texts(self._loaded.tokenizer)

    @property
    def unrecorded_cost(self) -> float:
        """Nothing: a model that is loaded here costs no money."""
        return 0.0

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: a model that is loaded here costs no money."""

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield replies by batches, the longest prompts first.

        Args:
            requests: Requests without images.

        Raises:
            ModelError: If memory is too small.
        """
        import torch

        size, room = self._config.batch_size, self._config.reply_tokens
        for chosen, prompts in self._in_tokens(requests):
            wrong = [beyond_positions(self._loaded.model, len(prompt), room) for prompt in prompts]
            yield [
                (request, CaptionReply(None, reason))
                for request, reason in zip(chosen, wrong, strict=True)
                if reason
            ]
            fitting = [index for index, reason in enumerate(wrong) if reason is None]
            for batch in alike_batches([prompts[index] for index in fitting], size):
                asked = [fitting[index] for index in batch]
                try:
                    texts = text_replies(self._loaded, [prompts[index] for index in asked], room, size)
                except torch.OutOfMemoryError as error:
                    raise ModelError(
                        f"out of memory with batch_size={size}; give a smaller one: captions stay the same; else "
                        "quantise=4bit"
                    ) from error
                yield [(chosen[index], CaptionReply(text)) for index, text in zip(asked, texts, strict=True)]

    def _in_tokens(
        self, requests: Sequence[CaptionRequest]
    ) -> Iterator[tuple[list[CaptionRequest], list[Tokens]]]:
        """Yield requests that are about as long with their tokens: a long run does not hold those of all."""
        ordered = sorted(requests, key=lambda request: (-len(request.prompt), request.key))
        step = ALIKE * self._config.batch_size
        for start in range(0, len(ordered), step):
            chosen = ordered[start : start + step]
            yield chosen, [self._loaded.prompt_format.message_tokens(request.prompt) for request in chosen]
