"""Load the trained parts of a model onto its base model, and add LoRA to the weights where that answers the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.parity import TOLERANCE, deviation, probe_logits
from caslie_model.backbones.finite_weights import check_finite_weights
from caslie_model.backbones.language_model import BaseModel, load_base_model
from caslie_model.backbones.quantisation import is_quantised
from caslie_model.backbones.tied_weights import tied_targets, ties_are_handled
from caslie_model.config.files import PEFT_CONFIG, PEFT_WEIGHTS
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
    from safetensors.torch import load_file

    try:
        weights = load_file(peft_weights(folder))
        check_finite_weights(weights, folder)
        with ties_are_handled():
            model = PeftModel.from_pretrained(base.model, str(folder), is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter does not load on {base.name}: {error}") from error
    _check_complete(model, weights, folder)
    return model.eval()


def peft_weights(folder: Path) -> Path:
    """Return the weights of a text adapter. Without them peft reads a pickle, or asks the Hub for the folder's name.

    Args:
        folder: The adapter folder.

    Returns:
        The file.

    Raises:
        ModelError: If it is not there.
    """
    file = folder / PEFT_WEIGHTS
    if file.is_file():
        return file
    pickles = any(folder.glob("adapter_model.bin"))
    reason = "; adapter_model.bin may run code and is not read: save it as safetensors" if pickles else ""
    raise ModelError(f"{folder} holds no {PEFT_WEIGHTS}{reason}")


def _check_complete(model: Any, weights: Mapping[str, Any], folder: Path) -> None:
    """Refuse LoRA that the config asks for and the file lacks, or the other way round: peft leaves it at random."""
    from peft import get_peft_model_state_dict

    if model.peft_config["default"].peft_type != "LORA":
        return
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    # Tied tensors may stand in the file once.
    there = {expected[name].data_ptr() for name in expected.keys() & weights.keys()}
    wrong = {name for name in expected.keys() - weights.keys() if expected[name].data_ptr() not in there}
    more = weights.keys() - expected.keys()
    if more:
        # peft itself may save embeddings too.
        wrong |= more - get_peft_model_state_dict(model, save_embedding_layers=True).keys()
    if wrong:
        raise ModelError(
            f"{folder}: {PEFT_WEIGHTS} does not fit {PEFT_CONFIG}: {len(wrong)} tensors are in one of them alone, "
            f"first {min(wrong)}; copy both from where the adapter was, or train it again"
        )


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
