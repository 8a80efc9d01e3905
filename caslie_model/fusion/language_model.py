"""Read from a language model what fusion needs: its layers, and the size of its embeddings and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from caslie_model.errors import ModelError
from caslie_model.fusion.config import CaslieConfig

# Names under which decoders keep their layers.
LAYER_LISTS = ("layers", "h", "blocks")
# Fields of a base model's config that must be equal for an adapter to fit.
SHAPE_FIELDS = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


class LanguageModelAccess:
    """The methods of `CaslieForCausalLM` that its language model answers."""

    # Attributes of the model that this is a part of.
    language_model: Any

    def get_input_embeddings(self) -> Any:
        """Return the language model's input embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the language model's input embeddings."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """Return the language model's output head."""
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        """Replace the language model's output head."""
        self.language_model.set_output_embeddings(new_embeddings)

    def get_decoder(self, *args: Any, **kwargs: Any) -> Any:
        """Return the language model's decoder, without its head."""
        return self.language_model.get_decoder(*args, **kwargs)


def decoder_layers(language_model: Any) -> nn.ModuleList:
    """Return the decoder's layers.

    Args:
        language_model: A causal language model.

    Returns:
        Its list of layers.

    Raises:
        ModelError: If the model has an encoder, or keeps no list of layers under a known name.
    """
    name = type(language_model).__name__
    if language_model.config.is_encoder_decoder:
        raise ModelError(f"{name} has an encoder; fusion needs a decoder-only model")
    decoder = language_model.get_decoder()
    for attribute in LAYER_LISTS:
        layers = getattr(decoder, attribute, None)
        if isinstance(layers, nn.ModuleList) and len(layers) == language_model.config.num_hidden_layers:
            return layers
    raise ModelError(
        f"{name}: its decoder ({type(decoder).__name__}) keeps no list of layers under {', '.join(LAYER_LISTS)}; "
        "choose a decoder-only model such as Llama, Mistral, Qwen, Phi or Gemma"
    )


def embedding_scale(language_model: Any) -> float:
    """Return the size of an entry of the input embeddings (root of the mean square)."""
    embeddings = language_model.get_input_embeddings()
    count = min(embeddings.weight.shape[0], 4096)
    with torch.no_grad():
        sample = embeddings(torch.arange(count, device=embeddings.weight.device))
    return float(sample.float().square().mean().sqrt())


def state_scales(language_model: Any, layers: Sequence[int]) -> tuple[float, ...]:
    """Return the size of an entry of the states in front of layers (root of the mean square; median of tokens).

    Measured on tokens from all over the vocabulary, without the first of each row: in many models it is hundreds of
    times larger, and carries nothing of the text.

    Args:
        language_model: A loaded model.
        layers: Indices of layers.

    Returns:
        One size a layer.
    """
    embeddings = language_model.get_input_embeddings()
    vocabulary = embeddings.weight.shape[0]
    rows, length = 4, min(64, vocabulary)
    tokens = torch.arange(rows * length, device=embeddings.weight.device) * 7919 % vocabulary
    with torch.no_grad():
        states = language_model.get_decoder()(
            input_ids=tokens.view(rows, length), output_hidden_states=True, use_cache=False
        ).hidden_states
        sizes = [states[layer][:, 1:].float().square().mean(dim=-1).sqrt().median() for layer in layers]
    return tuple(round(float(size), 4) for size in sizes)


def describe_base(config: CaslieConfig) -> dict[str, Any]:
    """Return the kind and the shape of the language model that a config is for."""
    text = config.get_text_config()
    return {name: getattr(text, name) for name in SHAPE_FIELDS}


def check_base(config: CaslieConfig, language_model: Any) -> None:
    """Check that a language model is of the kind and shape that a config is for.

    Args:
        config: The fusion model's.
        language_model: The model to put it on.

    Raises:
        ModelError: If it is not.
    """
    for name, wanted in describe_base(config).items():
        found = getattr(language_model.config, name)
        if found != wanted:
            raise ModelError(
                f"made for a language model with {name}={wanted}, but this one has {found}; give the base model "
                "it was made with"
            )
