"""Conversations with an image-text model: texts and images by turns, rendered, and as tensors of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from caslie_model.backbones.image_text_model import ImageTextModel
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import SampleImage, decode_image
from caslie_model.errors import ModelError
from caslie_model.prompts.chat import rendered_turns
from caslie_model.prompts.message import Part, Turn
from mmecinstruct.core.errors import DatasetError

if TYPE_CHECKING:
    from PIL.Image import Image

# What processors raise for an image that they cannot prepare.
_PROCESSOR_ERRORS = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    RuntimeError,
    ZeroDivisionError,
)


class Prompt(NamedTuple):
    """A conversation up to the place where the assistant answers.

    Attributes:
        text: As the chat template renders it, with one place for each image.
        images: The images, in the order of their places.
    """

    text: str
    images: tuple[SampleImage, ...]


@dataclass(frozen=True)
class ImageTextInputs:
    """Makes prompts and tensors for one model.

    Attributes:
        loaded: The model with its processor.
        images: The bytes of images.
        max_pixels: Pixels that an image is shrunk to before the processor sees it; smaller ones stay as they are.
    """

    loaded: ImageTextModel
    images: ImageBytes
    max_pixels: int
    _tokens: dict[tuple[tuple[int, int], bool], int] = field(default_factory=dict)
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def prompt(self, turns: Sequence[Turn]) -> Prompt:
        """Return a conversation as the model is given it.

        Args:
            turns: What was said; the assistant answers next.

        Returns:
            The prompt.

        Raises:
            ModelError: If the chat template cannot be filled, or leaves out an image.
        """
        images = tuple(part for turn in turns for part in turn.parts if isinstance(part, SampleImage))
        said = [{"role": turn.role, "content": self._content(turn.parts)} for turn in turns]
        text = rendered_turns(self.loaded.tokenizer, said, True, self.loaded.chat_template)
        place = getattr(self.loaded.processor, "image_token", None)
        if isinstance(place, str) and text.count(place) != len(images):
            raise ModelError(
                f"model '{self.loaded.name}': its chat template writes {text.count(place)} places ({place}) for "
                f"{len(images)} images; give --set images=none, or a model for several images"
            )
        return Prompt(text, images)

    def length(self, prompt: Prompt) -> int:
        """Return the number of tokens of a prompt, those of its images included."""
        return self.text_length(prompt) + self.image_length(prompt.images)

    def text_length(self, prompt: Prompt) -> int:
        """Return the number of tokens of a prompt, the place of an image being one."""
        tokens = self.loaded.tokenizer(prompt.text, add_special_tokens=self._adds_special(prompt.text))
        return len(tokens["input_ids"])

    def image_length(self, images: Sequence[SampleImage], scale: float = 1) -> int:
        """Return the tokens of the images of one prompt beyond their places.

        The number depends on an image's size, so one image of each size is prepared.

        Args:
            images: The images.
            scale: Count images of this share of their width and height.

        Returns:
            The number of tokens.

        Raises:
            DatasetError: If an image cannot be read, or the processor cannot prepare one of its size.
        """
        several = len(images) > 1
        total = 0
        for image in images:
            width, height = self._size(image)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            if (size, several) not in self._tokens:
                self._tokens[size, several] = self._measured(size, several, image)
            total += self._tokens[size, several]
        return total

    def tensors(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return prompts as one batch, padded on the left, on the model's device and in its precision.

        Args:
            prompts: The prompts, [B]. Either all have images or none has.

        Returns:
            The model's inputs by name: `input_ids` and `attention_mask` [B, T], and what the family needs.

        Raises:
            ModelError: If the processor cannot prepare them.
        """
        images = [[self._decoded(image) for image in prompt.images] for prompt in prompts]
        try:
            given = self._processed([prompt.text for prompt in prompts], images)
        except _PROCESSOR_ERRORS as error:
            raise ModelError(
                f"the processor of '{self.loaded.name}' cannot prepare prompts with {len(images[0])} images: {error}"
            ) from error
        return {
            name: value.to(self.loaded.device.name, self.loaded.device.dtype)
            if value.is_floating_point()
            else value.to(self.loaded.device.name)
            for name, value in given.items()
            if name != "labels" and hasattr(value, "is_floating_point")
        }

    def _content(self, parts: Sequence[Part]) -> list[dict[str, str]]:
        place = self.loaded.image_place
        if place is not None:
            return [
                {"type": "text", "text": "".join(part if isinstance(part, str) else place for part in parts)}
            ]
        return [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts
        ]

    def _processed(self, texts: list[str], images: list[list[Image]]) -> Any:
        shown = any(images)
        return self.loaded.processor(
            text=texts,
            images=images if shown else None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            add_special_tokens=self._adds_special(texts[0]),
            **(self._enlarged_to() if shown else {}),
        )

    def _enlarged_to(self) -> dict[str, Any]:
        """Bound what a processor enlarges images to before it splits them (Idefics 3, SmolVLM)."""
        size = dict(getattr(self.loaded.processor.image_processor, "size", None) or {})
        edges = {name: edge for name, edge in size.items() if edge is not None}
        if set(edges) != {"longest_edge"}:
            return {}
        return {"size": {"longest_edge": min(int(edges["longest_edge"]), math.isqrt(self.max_pixels))}}

    def _adds_special(self, text: str) -> bool:
        """Return whether the tokenizer begins a prompt, as the chat template does not (as `apply_chat_template`)."""
        begin = self.loaded.tokenizer.bos_token
        return begin is None or not text.startswith(begin)

    def _measured(self, size: tuple[int, int], several: bool, image: SampleImage) -> int:
        from PIL import Image

        count = 2 if several else 1
        prompt = self.prompt([Turn("user", (image, "x") * count)])
        blank = Image.new("RGB", size, (90, 120, 150))
        try:
            tokens = self._processed([prompt.text], [[blank] * count])["input_ids"].shape[1]
        except _PROCESSOR_ERRORS as error:
            raise DatasetError(
                f"image {image.key[:16]}: the processor of '{self.loaded.name}' takes no image of {size[0]}x{size[1]} "
                f"pixels ({error}); leave such images out of the dataset (`mmec build` has filters)"
            ) from error
        return int(tokens - self.text_length(prompt)) // count

    def _size(self, image: SampleImage) -> tuple[int, int]:
        if image.key not in self._sizes:
            self._sizes[image.key] = self._decoded(image).size
        return self._sizes[image.key]

    def _decoded(self, image: SampleImage) -> Image:
        decoded = decode_image(self.images.content(image.key), f"image {image.key[:16]}")
        scale = math.sqrt(self.max_pixels / (decoded.width * decoded.height))
        if scale >= 1:
            return decoded
        size = max(1, int(decoded.width * scale)), max(1, int(decoded.height * scale))
        return decoded.resize(size)
