"""Generation with images: a prompt's media are computed before its first step and reused in the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin

from caslie_model.errors import ModelError

IMAGE_INPUTS = (
    "image_features",
    "image_counts",
    "image_items",
    "image_roles",
    "image_groups",
    "guide_ids",
    "guide_mask",
)
# Values of a generated token in these inputs: it attends to all images and is no image itself.
TOKEN_INPUTS = {"token_items": 0, "token_slots": -1}


class CaslieGenerationMixin(GenerationMixin):
    """The methods of `generate` for a model with `encode_media`.

    transformers recognises the end of this class's name.
    """

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """Compute the media once, before the prompts are repeated for beams: images are not one per row."""
        images = {name: model_kwargs.pop(name, None) for name in IMAGE_INPUTS}
        media = model_kwargs.pop("media", None)
        if media is None and images["image_features"] is not None:
            if images["image_counts"] is None:
                raise ModelError("give image_counts beside image_features")
            media = self.encode_media(**images)
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size, is_encoder_decoder, input_ids, **model_kwargs
        )
        if media is not None:
            model_kwargs["media"] = media.repeat(expand_size)
        return input_ids, model_kwargs

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        # The language model may have ways of its own (some drop their cache at a certain length).
        """Return the inputs of the next step: those of the language model, and the items and slots of its tokens."""
        inputs = self.language_model.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        tokens = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
        for name in TOKEN_INPUTS:
            if inputs.get(name) is not None:
                inputs[name] = inputs[name][:, -tokens.shape[1] :]
        return inputs

    def _update_model_kwargs_for_generation(
        self,
        outputs: Any,
        model_kwargs: dict[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        model_kwargs = super()._update_model_kwargs_for_generation(
            outputs, model_kwargs, is_encoder_decoder, num_new_tokens
        )
        if outputs.get("media") is not None:
            model_kwargs["media"] = outputs["media"]
        for name, value in TOKEN_INPUTS.items():
            if model_kwargs.get(name) is not None:
                new = model_kwargs[name].new_full((model_kwargs[name].shape[0], num_new_tokens), value)
                model_kwargs[name] = torch.cat([model_kwargs[name], new], dim=1)
        return model_kwargs
