"""Which kind of model a name stands for: one that was trained here, a language model, or an image-text model."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from caslie_model.config.files import CONFIG, MODEL_CONFIG, adapter_config
from caslie_model.config.presets import built_in_presets
from caslie_model.hub.download import NoAdapterError, adapter_folder
from caslie_model.hub.errors import loading_errors, not_loaded
from caslie_model.hub.names import is_hub_name
from caslie_model.prompts.templates import PROMPTS_FOLDER
from mmecinstruct.core.hub import reading_from_hub

ModelKind: TypeAlias = Literal["trained", "language", "image-text"]


def model_kind(name: str) -> ModelKind:
    """Return the kind of a model. Only names and configs are read, no weights.

    Args:
        name: A folder, a preset, user/name on the Hub, package:NAME or random:tiny.

    Returns:
        trained: an adapter, or a model that `merge` wrote; also what is no model at all, for the error on loading it.
        language: a language model of transformers, by itself or named by a preset.
        image-text: an image-text-to-text model of transformers.

    Raises:
        ModelError: If the Hub does not give it.
    """
    folder = Path(name)
    if name.startswith(("package:", "random:")):
        return "language"
    if folder.is_dir():
        # A merged model without its settings is not taken for another one in silence.
        signs = (folder / CONFIG, folder / PROMPTS_FOLDER, adapter_config(folder))
        is_ours = any(sign is not None and sign.exists() for sign in signs)
        return "trained" if is_ours or not (folder / MODEL_CONFIG).is_file() else _kind_of(_local(folder))
    if name in built_in_presets() or name.endswith((".yaml", ".yml")):
        return "language"
    return _kind_on_hub(name) if is_hub_name(name) else "trained"


@lru_cache(maxsize=16)
def _kind_on_hub(name: str) -> ModelKind:
    """Return the kind of a repository; a command asks for it more than once, and the Hub is asked once."""
    try:
        adapter_folder(name)
    except NoAdapterError as error:
        return "trained" if (error.folder / PROMPTS_FOLDER).exists() else _kind_of(_on_hub(name))
    return "trained"


def _kind_of(config: Any) -> ModelKind:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type == "caslie":
        return "trained"
    return "image-text" if model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES else "language"


def _local(folder: Path) -> Any:
    try:
        return json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # Loading it says what is wrong.
        return None


def _on_hub(name: str) -> Any:
    from transformers import PretrainedConfig

    try:
        with reading_from_hub(name):
            return PretrainedConfig.get_config_dict(name)[0]
    except loading_errors() as error:
        raise not_loaded("model", name, error) from error
