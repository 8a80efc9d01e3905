"""Read presets and saved configs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from caslie_model.config.common import Config
from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.training import AlignConfig, FinetuneConfig, TrainingConfig, _without_removed
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.package_data import pipelines_folder
from mmecinstruct.recipe import apply_override

_OF_TASKS = frozenset(FinetuneConfig.model_fields) - frozenset(TrainingConfig.model_fields)


def built_in_presets() -> dict[str, Path]:
    """Return the training presets that come with the package, by name."""
    return {path.stem: path for path in sorted((pipelines_folder() / "training").glob("*.yaml"))}


def find_preset(name_or_path: str) -> Path:
    """Return the file of a preset's name or of a path. Raises ConfigError when there is neither."""
    presets = built_in_presets()
    if name_or_path in presets:
        return presets[name_or_path]
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise ConfigError(f"no preset '{name_or_path}': give a YAML file or one of {', '.join(presets)}")


def read_preset(name_or_path: str) -> dict[str, Any]:
    """Return the content of a preset. Raises ConfigError when it is not a YAML mapping."""
    path = find_preset(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a preset is a mapping of fields to values")
    return content


def finetune_config(preset: str, overrides: Sequence[str] = (), **fields: Any) -> FinetuneConfig:
    """Return a preset's config with `fields` (data, out, …) and dotted overrides (`lr=1e-4`) set.

    Raises ConfigError with every wrong field.
    """
    return _validate(FinetuneConfig, {**read_preset(preset), **fields}, overrides)


def align_config(preset: str, overrides: Sequence[str] = (), **fields: Any) -> AlignConfig:
    """Return a preset's config for an alignment, with `fields` and dotted overrides set.

    What a preset says of tasks does not matter here. Raises ConfigError with every wrong field.
    """
    preset_fields = {key: value for key, value in read_preset(preset).items() if key not in _OF_TASKS}
    preset_fields |= {"max_length": 256}
    return _validate(AlignConfig, {**preset_fields, "fusion": "xattn", **fields}, overrides)


def evaluate_config(overrides: Sequence[str] = (), **fields: Any) -> EvaluateConfig:
    """Return an evaluation's config from fields and dotted overrides. Raises ConfigError."""
    return _validate(EvaluateConfig, dict(fields), overrides)


def _validate(kind: type[Config], content: dict[str, Any], overrides: Sequence[str]) -> Config:
    try:
        for override in overrides:
            apply_override(content, override)
        if issubclass(kind, TrainingConfig):
            content = _without_removed(content)
        return kind.model_validate(content)
    except RecipeError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(config)'}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(["not a valid config:", *lines])) from error


def config_yaml(config: BaseModel) -> str:
    """Return a config as YAML text that reads back as the same config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_config(kind: type[Config], path: Path) -> Config:
    """Read a saved config. Raises ConfigError when it is missing or not valid."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a config")
    return _validate(kind, content, ())


def load_finetune_config(path: Path) -> FinetuneConfig:
    """Read the saved config of a fine-tuning run. Raises ConfigError when it is missing or not valid."""
    return load_config(FinetuneConfig, path)
