"""Resolve `init_from`: take shapes and vision encoder from the adapter that training starts from."""

from __future__ import annotations

from typing import Any, TypeVar

from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ModelError
from caslie_model.hub.names import is_hub_name

Config = TypeVar("Config", bound=TrainingConfig)

# A setting of the training, not a shape: a later one may start with another value.
_NOT_SHAPES = {"gate_init"}
_LORA_SHAPES = {"rank", "alpha", "target_modules", "modules_to_save"}


def with_shapes_of_init_from(config: Config) -> Config:
    """Return a config with the shapes of the adapter that `init_from` names; without `init_from` the config itself.

    Args:
        config: The settings of the run.

    Returns:
        The config whose connector has the adapter's shapes.

    Raises:
        ModelError: If `init_from` is no fusion adapter, or if a preset or an override asks for another shape, even
            where that is the default.
    """
    if config.init_from is None:
        return config
    adapter = _adapter_config(config)
    asked: dict[str, Any] = {"fusion": config.fusion}
    asked |= config.connector.model_dump(include=config.connector.model_fields_set - _NOT_SHAPES)
    there = dict(adapter)
    if config.with_lora and adapter.get("lora"):
        lora = config.lora.model_dump(mode="json", include=config.lora.model_fields_set & _LORA_SHAPES)
        asked |= {f"lora.{name}": value for name, value in lora.items()}
        there |= {f"lora.{name}": value for name, value in adapter["lora"].items()}
    other = sorted(
        name
        for name, value in asked.items()
        if name in there and there[name] != value and not _is_left_open(name, value)
    )
    if other:
        differences = ", ".join(f"{name} is {there[name]}, not {asked[name]}" for name in other)
        raise ModelError(f"init_from {config.init_from}: {differences}; give the settings it was made with")
    shapes = {
        name: adapter[name]
        for name in type(config.connector).model_fields
        if name in adapter and name not in _NOT_SHAPES
    }
    return config.model_copy(update={"connector": config.connector.model_copy(update=shapes)})


def vision_fingerprint_of_init_from(config: TrainingConfig) -> str:
    """Return the fingerprint of the vision encoder that the adapter of `init_from` was trained with.

    Args:
        config: The settings of the run.

    Returns:
        The fingerprint, "" without `init_from`.

    Raises:
        ModelError: If `init_from` is no fusion adapter.
    """
    return "" if config.init_from is None else str(_adapter_config(config).get("vision_fingerprint") or "")


def _adapter_config(config: TrainingConfig) -> dict[str, Any]:
    from caslie_model.fusion.adapter_files import read_adapter_config

    assert config.init_from is not None
    if not config.init_from.exists() and not is_hub_name(str(config.init_from)):
        raise ModelError(
            f"init_from={config.init_from}: there is no such folder; give an adapter folder, or user/name on the Hub"
        )
    content: dict[str, Any] = read_adapter_config(config.init_from)["config"]
    return content


def _is_left_open(name: str, value: Any) -> bool:
    """Return whether a setting asks for the value that follows from the language model."""
    return value is None or (name.endswith("_width") and value == 0)
