"""Weights that FSDP has divided among processes: whole again, to be written and to be told of.

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
    """Raise ConfigError where FSDP is wanted beside what it has not been made to work with."""
    if not wants_fsdp():
        return
    for wrong, setting in (
        (quantise != "none", f"quantise={quantise}"),
        (compiled, "compile=true"),
        (stops_early, "early_stop"),  # is decided by one process, which has not the whole model
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
    """Return a tensor that is not divided. Where it was, all processes must ask for it, in the same order."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def whole_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors by name, each whole. All processes must ask for them."""
    return {name: whole(tensor.detach()) for name, tensor in tensors.items()}
