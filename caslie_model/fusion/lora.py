"""LoRA on the language model inside a fusion model, by peft, with the names of modules left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from caslie_model.backbones.quantisation import refuse_quantised
from caslie_model.errors import ModelError


def inject_lora(language_model: Any, settings: Mapping[str, Any]) -> None:
    """Put low-rank adapters (rank, alpha, dropout, target_modules) into a model, in place.

    target_modules mean what they mean to `get_peft_model`. The adapters are float32 whatever the model is.
    Raises ModelError when no module has such a name.
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
    """Return whether a parameter of this name was put there by `inject_lora`."""
    return ".lora_" in name


def merge_lora(language_model: Any) -> None:
    """Add low-rank adapters to the weights they stand beside and take them out, in place.

    Raises ModelError when the weights are quantised.
    """
    refuse_quantised(language_model)
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(language_model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            language_model.set_submodule(name, module.get_base_layer())
    if hasattr(language_model, "peft_config"):
        del language_model.peft_config
