"""The trained part of a fusion model as a small folder, to be loaded onto its base model.

caslie_config.json           shapes and choices, and which base model and vision encoder it was made with
caslie_adapter.safetensors   every trained tensor and nothing else

Version 0.1 wrote them as adapter_config.json and adapter_model.safetensors, peft's names; such folders are read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from caslie_model.config.files import FUSION_CONFIG, FUSION_WEIGHTS, adapter_config
from caslie_model.errors import ModelError
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.language_model import describe_base
from caslie_model.hub.download import adapter_folder
from mmecinstruct.core.files import write_atomically

_TYPE = "caslie"
_FORMAT = 2


def save_adapter(config: CaslieConfig, tensors: Mapping[str, torch.Tensor], folder: str | Path) -> None:
    """Write an adapter folder; other files in the folder stay. The weights come last.

    Args:
        config: The fusion model's.
        tensors: Every trained tensor by its name in the model (`trained_state_dict`).
        folder: Where to write; created if need be.
    """
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "type": _TYPE,
        "format": _FORMAT,
        "base_model_name_or_path": config.base_model,
        "base": describe_base(config),
        "config": config.choices(),
    }
    write_atomically(folder / FUSION_CONFIG, (json.dumps(content, indent=1) + "\n").encode())
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(folder / FUSION_WEIGHTS, save(saved, metadata={"format": "pt"}))


def read_adapter_config(folder: str | Path) -> dict[str, Any]:
    """Return the content of caslie_config.json, with the names that settings have today.

    Args:
        folder: A path, or user/name on the Hub.

    Returns:
        The content; `config` has the fields of `CaslieConfig` beside the language model's.

    Raises:
        ModelError: If the file is missing, damaged or not of a fusion model.
    """
    place = adapter_folder(folder)
    path = adapter_config(place) or place / FUSION_CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder}: no adapter of a fusion model: {error}") from error
    if not isinstance(content, dict) or content.get("type") != _TYPE:
        raise ModelError(f"{folder}: an adapter of another kind (peft's own?), not of a fusion model")
    if content.get("format") != _FORMAT:
        raise ModelError(
            f"{folder}: adapter format {content.get('format')}; this version reads {_FORMAT}: train it again, or use "
            "the version that made it"
        )
    if not isinstance(content.get("config"), dict) or not isinstance(content.get("base"), dict):
        raise ModelError(f"{path}: damaged: it has no config or no base")
    names = CaslieConfig.attribute_map
    return {**content, "config": {names.get(name, name): value for name, value in content["config"].items()}}
