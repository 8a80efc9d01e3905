"""The layers below the first adapter: their result depends on the tokens alone, so a known one can stand in for them.

Nothing there is trained and no picture is seen, which is why their states are the same in each epoch. The decoder runs
as ever, with masks, positions and final norm of its own; only the layers in question are left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from caslie_model.errors import ModelError
from caslie_model.fusion.language_model import decoder_layers
from caslie_model.fusion.lora import is_lora

REMEDY = "give reuse_lower_layers=false"


def layers_below(model: Any) -> list[nn.Module]:
    """Return the layers of a fusion model below its first adapter.

    Raises ModelError where there are none, or where their states depend on more than the tokens: on LoRA, on anything
    else that is trained, or on dropout.
    """
    first = model.config.first_layer
    if not model.config.adapter_layers or first == 0:
        raise ModelError(
            f"fusion={model.config.fusion} with first_layer={first} has no layers below its first adapter; {REMEDY}"
        )
    layers = decoder_layers(model.language_model)
    above = {id(module) for layer in layers[first:] for module in layer.modules()}
    below = {
        place: module for place, module in model.get_decoder().named_modules() if id(module) not in above
    }
    for place, module in below.items():
        for name, weight in module.named_parameters(prefix=place, recurse=False):
            if weight.requires_grad or is_lora(name):
                raise ModelError(
                    f"{name} is below the first adapter (layer {first}) and not of the base model as it was, so the "
                    f"states of layers there change; {REMEDY}, or train LoRA in layers above alone"
                )
    for place, module in below.items():
        rate = module.p if isinstance(module, nn.Dropout) else getattr(module, "attention_dropout", 0.0)
        if isinstance(rate, float) and rate > 0:
            raise ModelError(
                f"{place} drops out a share of {rate} below the first adapter (layer {first}), so its states are drawn "
                f"anew each time; {REMEDY}"
            )
    return list(layers[:first])


@contextmanager
def standing_in(layers: Sequence[nn.Module], states: Tensor) -> Iterator[None]:
    """Let the layers give these states [B, T, d] instead of computing."""
    with _replaced(layers, lambda *args, **kwargs: states):
        yield


def states_below(language_model: Any, first_layer: int, **inputs: Tensor) -> Tensor:
    """Return what goes into a decoder's layer, [B, T, d]; inputs: input_ids and what else the decoder takes.

    That layer and those above compute nothing.
    """
    kept: list[Tensor] = []

    def keep(*args: Any, **kwargs: Any) -> Tensor:
        states: Tensor = args[0] if args else kwargs["hidden_states"]
        kept.append(states)
        return states

    with torch.no_grad(), _replaced(decoder_layers(language_model)[first_layer:], keep):
        language_model.get_decoder()(**inputs, use_cache=False)
    return kept[0]


def check_entry(model: Any) -> None:
    """Raise ModelError when states cannot stand in for a model's lower layers.

    Tried on a few tokens: some decoders hand more from layer to layer than states. Else as `layers_below`.
    """
    lower = layers_below(model)
    language_model = model.language_model
    tokens = torch.arange(1, 9, device=language_model.device).unsqueeze(0)
    try:
        states = states_below(language_model, len(lower), input_ids=tokens)
        with torch.inference_mode():
            whole = language_model(input_ids=tokens, use_cache=False).logits.float()
            with standing_in(lower, states):
                entered = language_model(input_ids=tokens, use_cache=False).logits.float()
        fits = torch.allclose(whole, entered, rtol=1e-3, atol=1e-3 * float(whole.abs().max()))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError):
        fits = False
    if not fits:
        raise ModelError(
            f"a {type(language_model).__name__} cannot be entered in the middle: its layers give each other more "
            f"than states; {REMEDY}"
        )


@contextmanager
def _replaced(layers: Sequence[nn.Module], forward: Callable[..., Tensor]) -> Iterator[None]:
    """Give layers another `forward` for a while. Their hooks stay, and so does the tree of modules."""
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = forward
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            if own is None:
                del layer.forward
            else:
                layer.forward = own
