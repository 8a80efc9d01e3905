"""LoRA on the language model inside a fusion model, by peft, with the names of modules left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from caslie_model.backbones.quantisation import check_not_quantised
from caslie_model.backbones.tied_weights import (
    check_targets_not_tied,
    find_modules,
    tied_targets,
    ties_are_handled,
)
from caslie_model.errors import ModelError


def inject_lora(language_model: Any, settings: Mapping[str, Any]) -> None:
    """Put low-rank adapters into a model, in place. What is trained is float32 whatever the model is.

    Args:
        language_model: The model.
        settings: rank, alpha, dropout, target_modules and modules_to_save, which mean what they mean to
            `get_peft_model`; but modules_to_save stay where they are, so that a tied head stays tied.

    Raises:
        ModelError: If no module has such a name.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    targets, whole = settings["target_modules"], find_modules(language_model, settings["modules_to_save"])
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=whole or None,
    )
    try:
        with ties_are_handled():
            inject_adapter_in_model(adapters, language_model)
    except (ValueError, TypeError) as error:
        raise ModelError(f"LoRA does not fit on {type(language_model).__name__}: {error}") from error
    if isinstance(language_model.get_output_embeddings(), BaseTunerLayer):
        # transformers would fail to tie such a head again.
        check_targets_not_tied(language_model)
    trained = whole_weights(language_model, settings)
    for name, weight in language_model.named_parameters():
        if (is_lora(name) or name in trained) and weight.dtype in (torch.bfloat16, torch.float16):
            weight.data = weight.data.float()


def is_lora(name: str) -> bool:
    """Return whether a parameter of this name was added by `inject_lora`."""
    return ".lora_" in name


def whole_weights(language_model: Any, settings: Mapping[str, Any] | None) -> set[str]:
    """Return the names of the weights that modules_to_save trains; of tied ones the name that is saved.

    Args:
        language_model: The model, with its adapters.
        settings: As of `inject_lora`; None: no LoRA.
    """
    if not settings or not settings["modules_to_save"]:
        return set()
    modules = [
        language_model.get_submodule(m) for m in find_modules(language_model, settings["modules_to_save"])
    ]
    found = {id(weight) for module in modules for weight in module.parameters()}
    return {name for name, weight in language_model.named_parameters() if id(weight) in found}


def merge_lora(language_model: Any) -> None:
    """Add low-rank adapters to the weights beside them and remove them, in place.

    Args:
        language_model: The model.

    Raises:
        ModelError: If the weights are quantised, or tied to those of another layer.
    """
    check_not_quantised(language_model)
    for name, other in tied_targets(language_model).items():
        raise ModelError(f"LoRA is on {name}, whose weights are tied to those of {other}")
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(language_model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            language_model.set_submodule(name, module.get_base_layer())
    if hasattr(language_model, "peft_config"):
        del language_model.peft_config
