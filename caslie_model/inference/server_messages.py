"""What a server is asked, as turns of texts and images, and the JSON of it that OpenAI's interface takes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from caslie_model.config.choices import LimitName
from caslie_model.data.images import SampleImage, decode_image
from caslie_model.inference.server_settings import ServerSettings
from caslie_model.prompts.message import Part, Turn
from mmecinstruct.images.signatures import signature_of

JPEG_QUALITY = 90
# What an image counts in the size of a request, beside the bytes of its texts.
IMAGE_SIZE = 2000
_OVERHEAD = 200

# Control tokens of models that are often served. The tokenizer of a server is not at hand, and a server may read such a
# text of a product as the end of the user's turn, or as an image.
CONTROL_TEXTS = (
    *(
        "<|begin_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
    ),
    *(
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
        "<|end_of_text|>",
        "<|assistant|>",
    ),
    *(
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_of_image>",
        "<end_of_image>",
        "<image_soft_token>",
        "<|channel|>",
    ),
    *(
        "<end_of_utterance>",
        "<fake_token_around_image>",
        "<IMG_CONTEXT>",
        "<|message|>",
        "<|return|>",
        "<|start|>",
    ),
    *(
        "<|eot_id|>",
        "<|image|>",
        "<|system|>",
        "<|user|>",
        "<|end|>",
        "<image>",
        "[/INST]",
        "[INST]",
        "[IMG]",
        "<s>",
        "</s>",
    ),
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation that a server is to continue.

    Attributes:
        name: Its name in messages; also what its pauses are drawn from.
        turns: The conversation.
        max_tokens: Tokens of the answer at most.
        top_logprobs: How many of the likeliest first tokens the server is to tell; 0: none.
    """

    name: str
    turns: tuple[Turn, ...]
    max_tokens: int
    top_logprobs: int = 0

    @property
    def size(self) -> int:
        """A number that its tokens grow with: bytes of text, and a constant for each image."""
        parts = [part for turn in self.turns for part in turn.parts]
        texts = sum(len(part.encode("utf-8", "replace")) for part in parts if isinstance(part, str))
        return _OVERHEAD + texts + IMAGE_SIZE * sum(isinstance(part, SampleImage) for part in parts)


def request_body(
    request: ChatRequest,
    settings: ServerSettings,
    content: Callable[[str], bytes],
    limit_name: LimitName | None = None,
) -> dict[str, Any]:
    """Return the JSON object of a request.

    Args:
        request: The conversation.
        settings: Model, seed and the cap of images.
        content: Returns the encoded bytes of an image by its key.
        limit_name: Name of the limit of tokens; None: as the settings say.

    Returns:
        The object that OpenAI's interface takes.

    Raises:
        DatasetError: If an image is damaged or not there.
    """
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [
            {"role": turn.role, "content": _content(turn.parts, settings.max_pixels, content)}
            for turn in request.turns
        ],
        limit_name or settings.limit_name: request.max_tokens,
    }
    if settings.request_temperature is not None:
        body["temperature"] = settings.request_temperature
    if settings.request_seed is not None:
        body["seed"] = settings.request_seed
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return body


def _content(parts: Sequence[Part], max_pixels: int, content: Callable[[str], bytes]) -> Any:
    """Return one text as it is, as servers of text models want it, and images with texts as a list."""
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_uri(content(part.key), max_pixels, part.key)}}
        for part in parts
    ]


def data_uri(content: bytes, max_pixels: int, key: str) -> str:
    """Return an image as a data URI: its own bytes, or a smaller JPEG where it has too many pixels.

    Args:
        content: The encoded image: JPEG, PNG or WebP.
        max_pixels: Pixels at most.
        key: Names the image in an error.

    Raises:
        DatasetError: If the bytes are no such image.
    """
    image = decode_image(content, f"image {key[:16]}")
    kind = (signature_of(content) or "JPEG").lower()
    if image.width * image.height > max_pixels:
        from PIL import Image

        shrunk = math.sqrt(max_pixels / (image.width * image.height))
        size = (max(1, math.floor(image.width * shrunk)), max(1, math.floor(image.height * shrunk)))
        stream = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=JPEG_QUALITY)
        content, kind = stream.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
