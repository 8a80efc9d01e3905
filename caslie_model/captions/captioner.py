"""What every captioner is: asked for captions of images, it gives a caption of each, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from caslie_model.config.captions import OF_SERVERS, CaptionConfig
from caslie_model.errors import ConfigError
from caslie_model.hub.public_names import public_name
from caslie_model.inference.prediction_log import Key
from mmecinstruct.schemas.captions import is_captioner_name


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """An image and what is asked of it. Equal requests of several samples are one.

    Attributes:
        image: SHA-256 of the image's bytes, hexadecimal.
        prompt: What is asked; empty for a captioner that is asked nothing.
        fingerprint: Of prompt, model and decoding: 16 hexadecimal digits.
        name: The first sample and image that it is of, for messages.
    """

    image: str
    prompt: str
    fingerprint: str
    name: str

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
        usage: Tokens and money of a server.
    """

    text: str | None
    reason: str | None = None
    usage: Mapping[str, float] | None = None


Replies = Iterator[Sequence[tuple[CaptionRequest, CaptionReply]]]


class Captioner(Protocol):
    """A captioner of any kind."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its captions depend on beside image and prompt, by name; without a path of this machine."""

    @property
    def control_texts(self) -> Sequence[str] | None:
        """Texts of its control tokens; None if it is asked nothing beside the image."""

    def resume(self, usages: Sequence[Mapping[str, Any]]) -> None:
        """Count the money that earlier captions cost."""

    def captions(self, requests: Sequence[CaptionRequest]) -> Replies:
        """Yield replies as they come, each with its request.

        Raises:
            MmecError: If no more captions can be had; after all that came.
        """


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
    name = config.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", captioner_name(config)).strip("-._")[:64]
    if not is_captioner_name(name):
        raise ConfigError(f"captioner={config.captioner} makes no name of a folder; give one as `name`")
    return name
