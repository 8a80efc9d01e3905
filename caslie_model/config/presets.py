"""Read presets and saved configs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from caslie_model.config.caption_quality import CaptionQualityConfig
from caslie_model.config.captions import CaptionConfig
from caslie_model.config.choices import Config
from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
from caslie_model.config.judging import JudgeConfig
from caslie_model.config.training import AlignConfig, FinetuneConfig, TrainingConfig
from caslie_model.errors import ConfigError
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.errors import RecipeError, YamlError
from mmecinstruct.core.package_data import caption_preset_files, pipelines_folder
from mmecinstruct.core.settings import QUIET, tell_old_names, wrong_fields
from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.recipe import apply_override

# Settings in saved configs of earlier versions.
_REMOVED = ("reuse_lower_layers", "lower_layers_gigabytes")
_OF_TASKS = frozenset(FinetuneConfig.model_fields) - frozenset(TrainingConfig.model_fields)
# Of a preset of captioning and judging.
_SECTIONS = ("caption", "judge")


def built_in_presets() -> dict[str, Path]:
    """Return the training presets that come with the package, by name."""
    return {path.stem: path for path in sorted((pipelines_folder() / "training").glob("*.yaml"))}


def caption_presets() -> dict[str, Path]:
    """Return the presets of captioning and judging that come with the package, by name."""
    return {path.stem: path for path in caption_preset_files()}


def find_preset(name_or_path: str, built_in: Mapping[str, Path] | None = None) -> Path:
    """Return the file of a preset.

    Args:
        name_or_path: The name of a built-in preset, or the path of a YAML file.
        built_in: The built-in ones by name. None: those of training.

    Raises:
        ConfigError: There is neither.
    """
    presets = built_in_presets() if built_in is None else built_in
    if name_or_path in presets:
        return presets[name_or_path]
    # Not Path.is_file, which raises for a name that is too long.
    if name_or_path.endswith((".yaml", ".yml")) and os.path.isfile(name_or_path):
        return Path(name_or_path)
    raise ConfigError(f"no preset '{name_or_path[:100]}': give a YAML file or one of {', '.join(presets)}")


def read_preset(name_or_path: str, built_in: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Return the content of a preset.

    Args:
        name_or_path: The name of a built-in preset, or the path of a YAML file.
        built_in: The built-in ones by name. None: those of training.

    Raises:
        ConfigError: There is no such preset, or it is not a YAML mapping.
    """
    path = find_preset(name_or_path, built_in)
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a preset is a mapping of fields to values")
    return content


def with_preset(
    preset: str | None, section: Literal["caption", "judge"], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of captioning or judging: what was given, and of a preset what was not.

    Args:
        preset: The name of a built-in preset, or the path of a YAML file with the sections `caption` and `judge`. None:
            no preset.
        section: Which of them is read.
        fields: Fields by name; None: not given.

    Raises:
        ConfigError: There is no such preset or section, or another section. Wrong fields are found by the config.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if preset is None:
        return given
    content = read_preset(preset, caption_presets())
    if unknown := sorted(set(map(str, content)) - set(_SECTIONS)):
        raise ConfigError(
            f"preset '{preset}': there is no such section: {', '.join(unknown)}; there are {' and '.join(_SECTIONS)}"
        )
    found = content.get(section)
    if not isinstance(found, dict):
        raise ConfigError(
            f"preset '{preset}' has no section '{section}' of fields and values; add one, or give another preset"
        )
    return {**found, **given}


def finetune_config(preset: str, overrides: Sequence[str] = (), **fields: Any) -> FinetuneConfig:
    """Return the config of a fine-tuning.

    Args:
        preset: The name of a built-in preset, or the path of a YAML file.
        overrides: Fields to set, in dotted form: `lora.rank=8`. The values are read as YAML.
        **fields: Fields that the preset does not give: `data`, `out`, ….

    Raises:
        ConfigError: There is no such preset, or a field is wrong. The message names every wrong field.
    """
    return _validate(FinetuneConfig, {**read_preset(preset), **fields}, overrides)


def align_config(preset: str, overrides: Sequence[str] = (), **fields: Any) -> AlignConfig:
    """Return the config of an alignment. The preset's settings of tasks are ignored.

    Args:
        preset: The name of a built-in preset, or the path of a YAML file.
        overrides: Fields to set, in dotted form: `lora.rank=8`. The values are read as YAML.
        **fields: Fields that the preset does not give: `data`, `out`, `catalogue`, ….

    Raises:
        ConfigError: There is no such preset, or a field is wrong. The message names every wrong field.
    """
    preset_fields = {key: value for key, value in read_preset(preset).items() if key not in _OF_TASKS}
    preset_fields |= {"max_length": 256}
    return _validate(AlignConfig, {**preset_fields, "fusion": "xattn", **fields}, overrides)


def predict_config(overrides: Sequence[str] = (), **fields: Any) -> PredictConfig:
    """Return the config of asking a model.

    Args:
        overrides: Fields to set, in dotted form: `quantise=4bit`. The values are read as YAML.
        **fields: Fields of `PredictConfig`.

    Raises:
        ConfigError: A field is wrong. The message names every wrong field.
    """
    return _validate(PredictConfig, dict(fields), overrides)


def evaluate_config(overrides: Sequence[str] = (), **fields: Any) -> EvaluateConfig:
    """Return the config of an evaluation.

    Args:
        overrides: Fields to set, in dotted form: `lora.rank=8`. The values are read as YAML.
        **fields: Fields of `EvaluateConfig`.

    Raises:
        ConfigError: A field is wrong. The message names every wrong field.
    """
    return _validate(EvaluateConfig, dict(fields), overrides)


def caption_config(overrides: Sequence[str] = (), **fields: Any) -> CaptionConfig:
    """Return the config of captioning.

    Args:
        overrides: Fields to set, in dotted form: `max_pixels=65536`. The values are read as YAML.
        **fields: Fields of `CaptionConfig`.

    Raises:
        ConfigError: A field is wrong. The message names every wrong field.
    """
    return _validate(CaptionConfig, dict(fields), overrides)


def judge_config(overrides: Sequence[str] = (), **fields: Any) -> JudgeConfig:
    """Return the config of judging captions.

    Args:
        overrides: Fields to set, in dotted form: `threshold=0.6`. The values are read as YAML.
        **fields: Fields of `JudgeConfig`.

    Raises:
        ConfigError: A field is wrong. The message names every wrong field.
    """
    return _validate(JudgeConfig, dict(fields), overrides)


def caption_quality_config(overrides: Sequence[str] = (), **fields: Any) -> CaptionQualityConfig:
    """Return the config of measuring captions.

    Args:
        overrides: Fields to set, in dotted form: `options=8`. The values are read as YAML.
        **fields: Fields of `CaptionQualityConfig`.

    Raises:
        ConfigError: A field is wrong. The message names every wrong field.
    """
    return _validate(CaptionQualityConfig, dict(fields), overrides)


def _validate(
    kind: type[Config], content: dict[str, Any], overrides: Sequence[str], *, quiet: bool = False
) -> Config:
    """Return a validated config. quiet: read old names without a message, as the user cannot change the file."""
    silent = quiet or not is_first_process()
    try:
        for override in overrides:
            apply_override(content, override, kind)
        if issubclass(kind, TrainingConfig):
            content = without_removed(content, silent)
        if not silent:
            tell_old_names(kind, content)
        return kind.model_validate(content, context=QUIET)
    except RecipeError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        raise ConfigError("\n".join(["not a valid config:", *wrong_fields(error, kind)])) from error


def without_removed(content: Mapping[str, Any], quiet: bool) -> dict[str, Any]:
    """Return a config without removed settings, which changed no result. Print a line where one was on, or be quiet."""
    if content.get("reuse_lower_layers") and not quiet:
        print("reuse_lower_layers is ignored: this version has no such setting", file=sys.stderr)
    return {key: value for key, value in content.items() if key not in _REMOVED}


def config_yaml(config: BaseModel) -> str:
    """Return a config as YAML text that reads back as the same config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_config(kind: type[Config], path: Path) -> Config:
    """Read a saved config, also of an earlier version.

    Args:
        kind: The class of the config.
        path: The `config.yaml` of a run.

    Raises:
        ConfigError: The file is missing or not valid.
    """
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a config")
    return _validate(kind, content, (), quiet=True)


def load_finetune_config(path: Path) -> FinetuneConfig:
    """Read the saved config of a fine-tuning.

    Args:
        path: The `config.yaml` of the run.

    Raises:
        ConfigError: The file is missing or not valid.
    """
    return load_config(FinetuneConfig, path)
