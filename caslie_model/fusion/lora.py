"""LoRA on the language model inside a fusion model, by peft, with the names of modules left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from caslie_model.backbones.quantisation import check_not_quantised
from caslie_model.errors import ModelError


def inject_lora(language_model: Any, settings: Mapping[str, Any]) -> None:
    """Put low-rank adapters into a model, in place. They are float32 whatever the model is.

    Args:
        language_model: The model.
        settings: rank, alpha, dropout and target_modules, which mean what they mean to `get_peft_model`.

    Raises:
        ModelError: If no module has such a name.
    """
    from peft import LoraConfig, inject_adapter_in_model

    targets = settings["target_modules"]
    try:
        inject_adapter_in_model(
            LoraConfig(
                task_type="CAUSAL_LM",
                r=settings["rank"],
                lora_alpha=settings["alpha"],
                lora_dropout=settings["dropout"],
                target_modules=targets if isinstance(targets, str) else list(targets),
            ),
            language_model,
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"LoRA does not fit on {type(language_model).__name__}: {error}") from error
    for name, weight in language_model.named_parameters():
        if is_lora(name) and weight.dtype in (torch.bfloat16, torch.float16):
            weight.data = weight.data.float()


def is_lora(name: str) -> bool:
    """Return whether a parameter of this name was added by `inject_lora`."""
    return ".lora_" in name


def merge_lora(language_model: Any) -> None:
    """Add low-rank adapters to the weights beside them and remove them, in place.

    Args:
        language_model: The model.

    Raises:
        ModelError: If the weights are quantised.
    """
    check_not_quantised(language_model)
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(language_model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            language_model.set_submodule(name, module.get_base_layer())
    if hasattr(language_model, "peft_config"):
        del language_model.peft_config
