"""Names of the files in a run folder.

A text adapter has peft's names, since peft and transformers read it. A fusion adapter has names of its own: peft fails
on its own names with another content.
"""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.yaml"
TRAINING = "training.json"
# Only a whole model has one, which transformers reads.
MODEL_CONFIG = "config.json"
PEFT_CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
FUSION_CONFIG = "caslie_config.json"
FUSION_WEIGHTS = "caslie_adapter.safetensors"


def adapter_weights(folder: Path) -> Path | None:
    """Return the file of an adapter's weights, None where there is none.

    Args:
        folder: The adapter folder. Fusion adapters of version 0.1 have peft's names.
    """
    return _first(folder, FUSION_WEIGHTS, PEFT_WEIGHTS)


def adapter_config(folder: Path) -> Path | None:
    """Return the file of an adapter's shapes, None where there is none.

    Args:
        folder: The adapter folder. Fusion adapters of version 0.1 have peft's names.
    """
    return _first(folder, FUSION_CONFIG, PEFT_CONFIG)


def _first(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
