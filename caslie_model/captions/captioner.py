"""What every captioner is: asked for captions of images, it gives a caption of each, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from caslie_model.config.captions import OF_SERVERS, CaptionConfig
from caslie_model.data.images import SampleImage
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.public_names import public_name
from caslie_model.inference.prediction_log import Key
from caslie_model.prompts.message import Part
from mmecinstruct.schemas.captions import is_captioner_name


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """An image and what is asked of it, or a general caption that is to be rewritten. Equal requests are one.

    Attributes:
        image: SHA-256 of the image's bytes, hexadecimal; empty where the captioner is shown none.
        prompt: What is asked; empty for a captioner that is asked nothing.
        fingerprint: Of prompt, model and decoding: 16 hexadecimal digits.
        name: The first sample and image that it is of, for messages.
    """

    image: str
    prompt: str
    fingerprint: str
    name: str

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the captioner is shown, in its order."""
        return (SampleImage("product", self.image), self.prompt) if self.image else (self.prompt,)

    @property
    def key(self) -> Key:
        """What tells it from other requests in the log."""
        return self.image, self.fingerprint


@dataclass(frozen=True, slots=True)
class CaptionReply:
    """What came of a request.

    Attributes:
        text: What the captioner wrote; None where it failed.
        reason: Why it failed.
        usage: Tokens and money of a server, also where it failed.
    """

    text: str | None
    reason: str | None = None
    usage: Mapping[str, float] | None = None


Replies: TypeAlias = Generator[Sequence[tuple[CaptionRequest, CaptionReply]], None, None]


class Captioner(Protocol):
    """A captioner of any kind."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside image and prompt, by name; without a path of this machine."""

    @property
    def control_texts(self) -> Sequence[str] | None:
        """Texts of its control tokens; None if it is asked nothing beside the image."""

    @property
    def unrecorded_cost(self) -> float:
        """Money that was spent and is in the usage of no reply."""

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Count the money that earlier captions cost.

        Args:
            usages: Records of the log.
        """

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield replies as they come, each with its request.

        Raises:
            MmecError: If no more captions can be had; after all that came.
        """


def beyond_positions(model: Any, tokens: int, reply_tokens: int) -> str | None:
    """Return why a prompt is too long for a model of transformers, None where it is not.

    Args:
        model: The model.
        tokens: Those of the prompt, images included.
        reply_tokens: Tokens that may be generated behind it.
    """
    positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if not isinstance(positions, int) or tokens + reply_tokens <= positions:
        return None
    needed = tokens + reply_tokens
    return f"prompt and caption take {needed:,} tokens, more than the model's {positions:,} positions"


def trained_with_images(name: str) -> ModelError:
    """Return the error of a rewriter that was trained with images.

    Args:
        name: Its name.
    """
    return ModelError(
        f"two_step={name} was trained with images, and a rewriter gets none: give a language model"
    )


def captioner_name(config: CaptionConfig) -> str:
    """Return a captioner's name without a path of this machine."""
    if config.asks_server:
        return config.captioner.removeprefix(OF_SERVERS)
    return public_name(config.captioner)


def folder_name(config: CaptionConfig) -> str:
    """Return the name of the captions' folder.

    Raises:
        ConfigError: If none follows from the captioner's name.
    """
    kind = "-rewritten" if config.two_step else "-general" if config.general else ""
    made = re.sub(r"[^A-Za-z0-9_.-]+", "-", captioner_name(config)).strip("-._")[: 64 - len(kind)]
    name = config.name or f"{made}{kind}"
    if not is_captioner_name(name):
        raise ConfigError(f"captioner={config.captioner} makes no name of a folder; give one as `name`")
    return name
