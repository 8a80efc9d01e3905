"""What a training begins with where `init_from` names an adapter: its shapes hold, and its encoder's features."""

from __future__ import annotations

from typing import Any, TypeVar

from caslie_model.config.training import TrainingConfig
from caslie_model.errors import ModelError

Config = TypeVar("Config", bound=TrainingConfig)

# Of a training, not of a shape: a later one may begin with other values.
_NOT_SHAPES = {"gate_init"}
_LORA_SHAPES = {"rank", "alpha", "target_modules"}


def with_shapes_of_init_from(config: Config) -> Config:
    """Return a config that says the shapes of the adapter it begins with, as it is without `init_from`.

    Raises ModelError when that is no adapter that sees, or when a preset or an override asks for another shape; also
    where what they ask for is the default.
    """
    if config.init_from is None:
        return config
    made_with = _made_with(config)
    asked: dict[str, Any] = {"fusion": config.fusion}
    asked |= config.connector.model_dump(include=config.connector.model_fields_set - _NOT_SHAPES)
    there = dict(made_with)
    if config.with_lora and made_with.get("lora"):
        lora = config.lora.model_dump(mode="json", include=config.lora.model_fields_set & _LORA_SHAPES)
        asked |= {f"lora.{name}": value for name, value in lora.items()}
        there |= {f"lora.{name}": value for name, value in made_with["lora"].items()}
    other = sorted(
        name
        for name, value in asked.items()
        if name in there and there[name] != value and not _is_left_open(name, value)
    )
    if other:
        told = ", ".join(f"{name} is {there[name]}, not {asked[name]}" for name in other)
        raise ModelError(f"init_from {config.init_from}: {told}; give the settings it was made with")
    shapes = {
        name: made_with[name]
        for name in type(config.connector).model_fields
        if name in made_with and name not in _NOT_SHAPES
    }
    return config.model_copy(update={"connector": config.connector.model_copy(update=shapes)})


def vision_fingerprint_of_init_from(config: TrainingConfig) -> str:
    """Return the identity of the vision encoder that `init_from` was made with, "" without one.

    Raises ModelError when that is no adapter that sees.
    """
    return "" if config.init_from is None else str(_made_with(config).get("vision_identity") or "")


def _made_with(config: TrainingConfig) -> dict[str, Any]:
    from caslie_model.fusion.adapter_files import read_adapter_config

    assert config.init_from is not None
    content: dict[str, Any] = read_adapter_config(config.init_from)["config"]
    return content


def _is_left_open(name: str, value: Any) -> bool:
    """Return whether a setting asks for what follows from the language model."""
    return value is None or (name.endswith("_width") and value == 0)
