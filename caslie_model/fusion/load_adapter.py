"""Load a fusion adapter onto its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from caslie_model.backbones.base_fingerprint import is_without_content
from caslie_model.backbones.finite_weights import check_finite_weights
from caslie_model.config.files import FUSION_CONFIG, FUSION_WEIGHTS, adapter_weights
from caslie_model.errors import ModelError
from caslie_model.fusion.adapter_files import read_adapter_config
from caslie_model.fusion.config import CaslieConfig
from caslie_model.fusion.language_model import SHAPE_FIELDS
from caslie_model.fusion.model import CaslieForCausalLM
from caslie_model.hub.download import adapter_folder


def load_adapter(
    base_model: Any,
    folder: str | Path,
    *,
    base_fingerprint: str = "",
    vision_fingerprint: str = "",
    trainable: bool = False,
) -> CaslieForCausalLM:
    """Return the fusion model of an adapter folder on its base model, which becomes part of it.

    Args:
        base_model: A loaded language model.
        folder: A path, or user/name on the Hub.
        base_fingerprint: Fingerprint of the base model; "" is not compared.
        vision_fingerprint: Fingerprint of the vision encoder; "" is not compared.
        trainable: Train it further: float32, also beside a 16-bit base model. Otherwise everything is frozen and
            has the base model's type.

    Returns:
        The fusion model.

    Raises:
        ModelError: If folder, base model and fingerprints do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    content = read_adapter_config(folder)
    _check_same_base(content, base_model, folder)
    try:
        config = CaslieConfig.for_base(base_model.config, **content["config"])
    except (TypeError, ValueError, ModelError) as error:
        raise ModelError(f"{folder}: its {FUSION_CONFIG} is not valid: {error}") from error
    for what, made_with, name, now in (
        ("base model", config.base_fingerprint, config.base_model, base_fingerprint),
        ("vision encoder", config.vision_fingerprint, config.vision_encoder, vision_fingerprint),
    ):
        if now and made_with and now != made_with and not is_without_content(made_with, name):
            raise ModelError(
                f"{folder} was made with another {what}: {name or 'unnamed'} of fingerprint {made_with[:16]}, not "
                f"{now[:16]}; use the same weights and settings, or train an adapter for these"
            )
    try:
        place = adapter_folder(folder)
        weights = load_file(adapter_weights(place) or place / FUSION_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: its weights cannot be read: {error}") from error
    check_finite_weights(weights, folder)
    # Before modules that are trained whole become float32.
    dtype = base_model.dtype
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
    if dtype in (torch.bfloat16, torch.float16):
        model.set_own_dtype(dtype)
    return model.requires_grad_(False).eval()


def _check_same_base(content: dict[str, Any], base_model: Any, folder: str | Path) -> None:
    for name in SHAPE_FIELDS:
        found, wanted = getattr(base_model.config, name, None), content["base"].get(name)
        if found != wanted:
            raise ModelError(
                f"{folder} was made for a base model with {name}={wanted}, but this one has {found}; give "
                f"{content.get('base_model_name_or_path') or 'the base model it was made with'}"
            )
