"""Frozen base models in 8 or 4 bits, by bitsandbytes: large models on a GPU that could not hold all their weights.

The linear layers except the output head are quantised. Embeddings, norms and everything that is trained stay as they
are. A model is quantised while it is loaded from its usual files: an adapter belongs to these files, and the number of
bits is recorded beside it.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from packaging.version import Version

from caslie_model.errors import ConfigError, ModelError
from caslie_model.runtime.device import Device

# The first version that computes on a CPU too; transformers asks for no older one either.
OLDEST = Version("0.46.1")
_REMEDY = '`pip install "mmecinstruct[quantised]"`, or give quantise=none'


def check_quantisation(quantise: str) -> None:
    """Check that a base model can be quantised here, without loading a library.

    Args:
        quantise: none, 8bit or 4bit.

    Raises:
        ConfigError: If bitsandbytes is missing or too old.
    """
    if quantise == "none":
        return
    if quantise not in ("8bit", "4bit"):
        raise ConfigError(f"quantise={quantise}: choose from none, 8bit, 4bit")
    missing = ConfigError(f"quantise={quantise}: bitsandbytes is not installed; {_REMEDY}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise missing
    try:
        found = metadata.version("bitsandbytes")
    except metadata.PackageNotFoundError:
        # A folder of that name is found as a package too.
        raise missing from None
    if Version(found) < OLDEST:
        raise ConfigError(f"quantise={quantise}: bitsandbytes {found} is older than {OLDEST}; {_REMEDY}")


def quantised_loading(quantise: str, device: Device) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that quantise a model while it is loaded.

    4 bits are NormalFloat ones with quantised constants (Dettmers et al., QLoRA, 2023). 8 bits are LLM.int8(), which
    computes in float16 whatever the precision.

    Args:
        quantise: none, 8bit or 4bit.
        device: Where to load it; quantised layers compute in its precision.

    Returns:
        The arguments, none for quantise=none.

    Raises:
        ConfigError: If bitsandbytes is missing, or does not work on this machine or device.
    """
    check_quantisation(quantise)
    if quantise == "none":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    kind = torch.device(device.name).type
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"quantise={quantise}: bitsandbytes does not load here ({reason}); {_REMEDY}"
        ) from error
    if kind not in bitsandbytes.supported_torch_devices:
        raise ConfigError(
            f"quantise={quantise}: bitsandbytes {bitsandbytes.__version__} knows no {kind}; give quantise=none"
        )
    if quantise == "4bit":
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=device.dtype,
        )
    else:
        settings = BitsAndBytesConfig(load_in_8bit=True)
    # Each process of several has set the GPU that is its own; "cuda" alone would be the first one's to `device_map`.
    index = torch.cuda.current_device() if device.name == "cuda" else device.name
    return {"quantization_config": settings, "device_map": {"": index}}


def sparing(settings: Any, modules: Sequence[str]) -> Any:
    """Return bitsandbytes' settings that also leave modules of the given names as they are.

    Args:
        settings: A quantization_config. One that names modules itself, or is of another library, is returned as it is.
        modules: Names of modules, beside the output head.

    Returns:
        The settings.
    """
    if getattr(settings, "llm_int8_skip_modules", ()) is not None:
        return settings
    changed = copy.deepcopy(settings)
    changed.llm_int8_skip_modules = ["lm_head", *modules]
    return changed


def is_quantised(model: Any) -> bool:
    """Return whether a language model's weights are quantised, by us or in its checkpoint."""
    return bool(getattr(model, "is_quantized", False))


def check_not_quantised(model: Any) -> None:
    """Check that low-rank adapters can be added to a model's weights.

    Args:
        model: The language model.

    Raises:
        ModelError: If its weights are quantised: rounding would remove the adapters.
    """
    if is_quantised(model):
        raise ModelError(
            "LoRA is not added to quantised weights, which would round it away; leave it beside them, or load the base "
            "model with quantise=none"
        )
