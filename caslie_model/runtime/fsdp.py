"""Weights that FSDP divides among processes: checks before training, and gathering them again.

`accelerate launch --config_file pipelines/accelerate/fsdp.yaml` divides a model that one GPU cannot hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from caslie_model.errors import ConfigError


def wants_fsdp() -> bool:
    """Return whether this process was started to train with FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def check_fsdp(quantise: str, compiled: bool, stops_early: bool = False) -> None:
    """Check the settings that FSDP does not support. Without FSDP nothing is checked.

    Args:
        quantise: none, 8bit or 4bit.
        compiled: Whether the model is compiled.
        stops_early: Whether validation may end the training.

    Raises:
        ConfigError: If one of them is used with FSDP, or FSDP is of version 1.
    """
    if not wants_fsdp():
        return
    for wrong, setting in (
        (quantise != "none", f"quantise={quantise}"),
        (compiled, "compile=true"),
        # One process decides about it and does not have the whole model.
        (stops_early, "early_stop"),
    ):
        if wrong:
            raise ConfigError(
                f"{setting} does not go with FSDP; start with torchrun, so that each GPU has the whole model, or leave "
                "the setting out"
            )
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(
            "FSDP of version 1 does not take layers whose weights are partly frozen; give fsdp_version: 2, as in "
            "pipelines/accelerate/fsdp.yaml"
        )


def whole(tensor: Any) -> Any:
    """Return a tensor gathered from all processes; one that is not divided is returned as it is.

    Args:
        tensor: A tensor. Where it is divided, all processes must call, in the same order.

    Returns:
        The whole tensor.
    """
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def whole_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors by name, each whole and detached. All processes must call.

    Args:
        tensors: Tensors by name, divided or not.

    Returns:
        The whole tensors by name.
    """
    return {name: whole(tensor.detach()) for name, tensor in tensors.items()}
