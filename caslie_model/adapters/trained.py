"""Load the trained parts of a model onto its base model, and add LoRA to the weights where that answers the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.parity import TOLERANCE, deviation, probe_logits
from caslie_model.backbones.language_model import BaseModel, load_base_model
from caslie_model.backbones.quantisation import is_quantised
from caslie_model.backbones.tied_weights import tied_targets, ties_are_handled
from caslie_model.errors import ModelError
from caslie_model.runtime.console import say


def load_trained(base: BaseModel, fusion: str, folder: Path, *, any_base: bool = False) -> Any:
    """Return the base model with the adapter of a folder, in evaluation mode.

    Args:
        base: The base model, which becomes part of the result.
        fusion: The fusion of the adapter's training.
        folder: The adapter folder.
        any_base: Whether the base model may be another one than in training, of the same shape.

    Returns:
        The model, with LoRA beside the weights.

    Raises:
        ModelError: If the adapter does not fit.
    """
    if fusion != "text":
        from caslie_model.fusion.load_adapter import load_adapter

        return load_adapter(base.model, folder, base_fingerprint="" if any_base else base.fingerprint)
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        with ties_are_handled():
            model = PeftModel.from_pretrained(base.model, str(folder), is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter does not load on {base.name}: {error}") from error
    return model.eval()


def load_to_answer(base: BaseModel, fusion: str, folder: Path, *, any_base: bool = False) -> Any:
    """Return the base model with the adapter of a folder, fit to answer many samples.

    LoRA is added to the weights, which is faster, where it changes no answer: in float32 and not quantised, and if the
    logits of a probe stay the same.

    Args:
        base: The base model, which becomes part of the result, or is loaded again.
        fusion: The fusion of the adapter's training.
        folder: The adapter folder.
        any_base: As of `load_trained`.

    Returns:
        The model, in evaluation mode.

    Raises:
        ModelError: If the adapter does not fit.
    """
    model = load_trained(base, fusion, folder, any_base=any_base)
    if base.device.precision != "float32" or is_quantised(base.model):
        return model
    expected = probe_logits(model, base.tokenizer)
    try:
        merged = merge_lora(model, fusion)
        found = deviation(probe_logits(merged, base.tokenizer), expected)
        if found <= TOLERANCE:
            return merged
        reason = f"merged, its logits would differ by {found:.2g} of their spread"
    except ModelError as error:
        reason = str(error)
    say(f"{folder}: LoRA stays beside the weights, which is exact but slower: {reason}")
    again = load_base_model(base.location, base.device, base.quantise)
    return load_trained(
        replace(again, name=base.name, fingerprint=base.fingerprint), fusion, folder, any_base=any_base
    )


def merge_lora(model: Any, fusion: str) -> Any:
    """Return a model with its LoRA added to the weights, in evaluation mode. The model itself is changed.

    Args:
        model: As `load_trained` returns it.
        fusion: The fusion of its training.

    Returns:
        The model without peft's layers.

    Raises:
        ModelError: If LoRA cannot be added.
    """
    if fusion != "text":
        model.merge_lora()
        return model
    for name, other in tied_targets(model).items():
        raise ModelError(f"LoRA is on {name}, whose weights are tied to those of {other}")
    try:
        return model.merge_and_unload().eval()
    except (AttributeError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"peft does not merge it: {error}") from error
