"""What was trained, as a small folder beside a base model that others have.

adapter_config.json         shapes and choices, and which base model and vision encoder it was made with
adapter_model.safetensors   every trained tensor and nothing else

The names of the files are peft's convention; the type is our own ("caslie"), as peft's list of types is closed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from caslie_model.errors import ModelError
from caslie_model.fusion.configuration import CaslieConfig
from caslie_model.fusion.language_model import SHAPE_FIELDS, describe_base
from caslie_model.hub_adapters import adapter_folder
from mmecinstruct.workspace import write_atomically

if TYPE_CHECKING:
    from caslie_model.fusion.model import CaslieForCausalLM

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TYPE = "caslie"
_FORMAT = 2


def save_adapter(
    model: CaslieForCausalLM, folder: str | Path, tensors: dict[str, torch.Tensor] | None = None
) -> None:
    """Write the adapter folder of a model; what else lies in the folder stays. The weights come last.

    tensors: what was trained, if it was gathered before; else it is taken from the model.
    """
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fields = model.config.choices()
    content = {
        "type": _TYPE,
        "format": _FORMAT,
        "base_model_name_or_path": model.config.base_model,
        "base": describe_base(model.config),
        "config": fields,
    }
    write_atomically(folder / ADAPTER_CONFIG, (json.dumps(content, indent=1) + "\n").encode())
    trained = model.trained_state_dict() if tensors is None else tensors
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.items()}
    write_atomically(folder / ADAPTER_WEIGHTS, save(saved, metadata={"format": "pt"}))


def read_adapter_config(folder: str | Path) -> dict[str, Any]:
    """Return the content of adapter_config.json. Raises ModelError when it is missing, damaged or not of ours."""
    path = adapter_folder(folder) / ADAPTER_CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    return content


def load_adapter(
    base_model: Any,
    folder: str | Path,
    *,
    base_identity: str = "",
    vision_identity: str = "",
    trainable: bool = False,
) -> CaslieForCausalLM:
    """Return the fusion model of an adapter folder on its base model, which becomes part of it.

    folder: a path, or user/name on the Hub.

    base_identity, vision_identity: of what is there now; where they are given and the adapter was made with
    others, that is an error. trainable: to train on, float32 beside a 16-bit base model; else everything is
    frozen and has the base model's type. Raises ModelError when folder and base model do not go together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from caslie_model.fusion.model import CaslieForCausalLM

    content = read_adapter_config(folder)
    _check_same_base(content, base_model, folder)
    try:
        config = CaslieConfig.for_base(base_model.config, **content["config"])
    except (TypeError, ValueError, ModelError) as error:
        raise ModelError(f"{folder}: its {ADAPTER_CONFIG} is not valid: {error}") from error
    for what, made_with, name, now in (
        ("base model", config.base_identity, config.base_model, base_identity),
        ("vision encoder", config.vision_identity, config.vision_encoder, vision_identity),
    ):
        if now and made_with and now != made_with:
            raise ModelError(
                f"{folder} was made with another {what}: {name or 'unnamed'} of identity {made_with[:16]}, not "
                f"{now[:16]}; use the same weights and settings, or train an adapter for these"
            )
    try:
        weights = load_file(adapter_folder(folder) / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: its weights cannot be read: {error}") from error
    model = CaslieForCausalLM.from_base(base_model, config)
    expected = model.trained_state_dict()
    wrong = sorted(set(expected) ^ set(weights))
    wrong += [name for name in expected if name in weights and expected[name].shape != weights[name].shape]
    if wrong:
        raise ModelError(
            f"{folder}: its weights do not fit its config ({len(wrong)} tensors, first {wrong[0]})"
        )
    if base_model.device.type != "meta":  # there, shapes are all that is asked for
        model.load_state_dict(weights, strict=False)
    if trainable:
        return model
    if base_model.dtype in (torch.bfloat16, torch.float16):
        model.set_own_dtype(base_model.dtype)
    return model.requires_grad_(False).eval()


def _check_same_base(content: dict[str, Any], base_model: Any, folder: str | Path) -> None:
    for name in SHAPE_FIELDS:
        found, wanted = getattr(base_model.config, name, None), content["base"].get(name)
        if found != wanted:
            raise ModelError(
                f"{folder} was made for a base model with {name}={wanted}, but this one has {found}; give "
                f"{content.get('base_model_name_or_path') or 'the base model it was made with'}"
            )
