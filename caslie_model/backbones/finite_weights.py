"""Weights that are no finite numbers: no training writes them, and every answer would be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caslie_model.errors import ModelError


def check_finite_weights(weights: Mapping[str, Any], folder: str | Path) -> None:
    """Check the weights of an adapter.

    Args:
        weights: Tensors by name.
        folder: The adapter, for the message.

    Raises:
        ModelError: If one of them has a value that is no finite number.
    """
    for name, tensor in sorted(weights.items()):
        if not tensor.isfinite().all():
            raise ModelError(f"{folder}: its {name} has values that are no finite numbers; train it again")
