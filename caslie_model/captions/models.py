"""Captioners that are models: image-text models of transformers, and those of servers with OpenAI's interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from caslie_model.backbones.image_text_model import load_image_text_model
from caslie_model.captions.captioner import (
    CaptionReply,
    CaptionRequest,
    Replies,
    beyond_positions,
    captioner_name,
)
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.errors import ModelError
from caslie_model.inference.batch_file import read_batch, write_batch
from caslie_model.inference.image_text_answers import replies
from caslie_model.inference.image_text_inputs import ImageTextInputs
from caslie_model.inference.server import open_server, usage_of
from caslie_model.inference.server_client import ChatFailure
from caslie_model.inference.server_messages import CONTROL_TEXTS, ChatRequest
from caslie_model.inference.server_replies import ChatReply
from caslie_model.prompts.message import Turn
from caslie_model.runtime.console import say
from caslie_model.runtime.device import choose_device
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint


class ImageTextCaptioner:
    """An image-text model of transformers; greedy, so that its captions can be had again."""

    def __init__(self, config: CaptionConfig, images: ImageBytes) -> None:
        """Load the model.

        Args:
            config: Model, sizes, device and precision.
            images: The bytes of images.

        Raises:
            ModelError: If the model cannot be loaded, or has no chat template.
            ConfigError: If the device or `quantise` is not possible here.
        """
        device = choose_device(config.device, config.precision)
        loaded = load_image_text_model(config.captioner, device, config.quantise)
        say(f"{config.captioner}: {loaded.family}, on {device}")
        self._config = config
        self._inputs = ImageTextInputs(loaded, images, config.max_pixels)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside image and prompt, by name."""
        loaded = self._inputs.loaded
        return {
            "model": captioner_name(self._config),
            "model_fingerprint": loaded.fingerprint,
            "revision": loaded.revision,
            "family": loaded.family,
            "chat_template": loaded.chat_template,
            "max_pixels": self._config.max_pixels,
            "max_tokens": self._config.reply_tokens,
            "decoding": "greedy",
            "precision": loaded.device.precision,
            "quantise": loaded.quantise,
        }

    @property
    def control_texts(self) -> Sequence[str]:
        """Texts of its control tokens."""
        return self._inputs.loaded.control_texts

    @property
    def unrecorded_cost(self) -> float:
        """Nothing: a model that is loaded here costs no money."""
        return 0.0

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: a model that is loaded here costs no money."""

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield replies by batches, the longest prompts first.

        Args:
            requests: The requests.

        Raises:
            ModelError: If memory is too small, or the model takes no images.
        """
        import torch

        ordered = sorted(requests, key=lambda request: (-len(request.prompt), request.key))
        size = self._config.batch_size
        for start in range(0, len(ordered), size):
            try:
                yield self._batch(ordered[start : start + size])
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    f"out of memory with batch_size={size}; give a smaller one: captions stay the same; else smaller "
                    "images by max_pixels, or quantise=4bit"
                ) from error

    def _batch(self, batch: Sequence[CaptionRequest]) -> list[tuple[CaptionRequest, CaptionReply]]:
        try:
            texts = self._texts(batch)
        except DatasetError as error:
            if len(batch) == 1:
                return [(batch[0], CaptionReply(None, str(error)))]
            # One image that the processor cannot prepare takes no caption from the others.
            return [each for request in batch for each in self._batch([request])]
        return [(request, CaptionReply(text)) for request, text in zip(batch, texts, strict=True)]

    def _texts(self, batch: Sequence[CaptionRequest]) -> list[str]:
        turns = [[Turn("user", request.parts)] for request in batch]
        longest = max(self._inputs.length(self._inputs.prompt(said)) for said in turns)
        if reason := beyond_positions(self._inputs.loaded.model, longest, self._config.reply_tokens):
            raise DatasetError(f"{reason}; give a smaller max_pixels")
        return replies(self._inputs, turns, self._config.reply_tokens, self._config.batch_size)


class ServerCaptioner:
    """A model of a server, asked at temperature 0."""

    def __init__(self, config: CaptionConfig, images: ImageBytes) -> None:
        """Keep the server; nothing is asked yet.

        Args:
            config: Server, model, prices and limits.
            images: The bytes of images.

        Raises:
            ConfigError: If the settings contradict each other, or prices are missing.
        """
        self._config = config
        self._images = images
        self._server = open_server(config, images)
        self._recorded = 0.0

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside image and prompt; not the server's address."""
        settings = self._server.settings
        return {
            "model": settings.model,
            "max_pixels": settings.max_pixels,
            "max_tokens": self._config.reply_tokens,
            "temperature": 0,
            "seed": settings.request_seed,
        }

    @property
    def control_texts(self) -> Sequence[str]:
        """Texts of control tokens of models that are often served."""
        return CONTROL_TEXTS

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Count the money that earlier captions cost, which the budget covers too.

        Args:
            usages: Records of the log.
        """
        self._server.resume(usages)
        self._recorded = self._server.spending.spent

    @property
    def unrecorded_cost(self) -> float:
        """What was spent that no reply has: by requests that were in flight when asking stopped."""
        return max(0.0, round(self._server.spending.spent - self._recorded, 9))

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield replies as they come; with `write_batch` write the requests and yield none.

        Args:
            requests: The requests.

        Raises:
            RunError: If the server answers nothing more, the budget is spent, or a batch file cannot be used.
        """
        settings = self._server.settings
        if settings.write_batch is not None:
            asked = ((_batch_id(request), self._asked(request)) for request in requests)
            files = write_batch(settings.write_batch, asked, settings, self._images.content)
            names = ", ".join(map(str, files)) or "no file"
            say(
                f"wrote {len(requests)} requests to {names}; have them answered, then give the output to read_batch"
            )
            return
        pairs = ((request, self._asked(request)) for request in requests)
        try:
            for group in self._read(requests) if settings.read_batch else self._server.ask(pairs):
                yield [(request, _reply(outcome)) for request, outcome in group]
                # Not before: who asked may be stopped before the replies are written.
                self._recorded += sum(outcome.cost or 0.0 for _, outcome in group)
        finally:
            self._server.tell_spending()

    def _asked(self, request: CaptionRequest) -> ChatRequest:
        return ChatRequest(request.name, (Turn("user", request.parts),), self._config.reply_tokens)

    def _read(
        self, requests: Sequence[CaptionRequest]
    ) -> Iterator[list[tuple[CaptionRequest, ChatReply | ChatFailure]]]:
        missing = {_batch_id(request): request for request in requests}
        wanted = frozenset(missing)
        for answer in read_batch(self._server.settings.read_batch, wanted.__contains__, False):
            request = missing.pop(answer.custom_id)
            if answer.reply is None:
                yield [(request, ChatFailure(answer.detail, is_refused=True))]
                continue
            usage = answer.reply.usage
            cost = None if usage is None else self._server.spending.count(usage)
            yield [(request, replace(answer.reply, cost=cost))]
        if missing:
            failure = ChatFailure("not in the batch's output", is_refused=True)
            yield [(request, failure) for request in missing.values()]


def _batch_id(request: CaptionRequest) -> str:
    """Return what tells a request from others in a batch file, those for other prompts and images included."""
    return fingerprint(request.key)[:32]


def _reply(outcome: ChatReply | ChatFailure) -> CaptionReply:
    if isinstance(outcome, ChatFailure):
        return CaptionReply(None, outcome.detail, {"cost": outcome.cost} if outcome.cost else None)
    return CaptionReply(outcome.text, usage=usage_of(outcome))
