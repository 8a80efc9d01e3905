"""What others are told of a training: names that they can use, and nothing of where things lie on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from caslie_model.base_model import is_hub_name
from caslie_model.config import TrainingConfig

AnyTraining = TypeVar("AnyTraining", bound=TrainingConfig)

# Fields of JSON files that name a model: a Hub id stays, a folder becomes its last part.
_NAMES = frozenset(
    {"base_model", "base_model_name_or_path", "vision_encoder", "_name_or_path", "name_or_path"}
)


def public_name(name: str) -> str:
    """Return the name of a model or dataset as it is, or of a path of this machine its last part."""
    if name.startswith(("package:", "random:")):
        return name
    path = Path(name).expanduser()
    local = path.is_absolute() or name.startswith(".") or path.exists()
    return path.resolve().name if local else name


def hub_id(name: str) -> str | None:
    """Return a name that the Hub can link to, None for any other."""
    return name if public_name(name) == name and is_hub_name(name) else None


def public_config(config: AnyTraining) -> AnyTraining:
    """Return a config whose paths are names; it is valid as the original is."""
    out = Path(config.out.resolve().name)
    named: dict[str, Any] = {
        name: Path(public_name(str(value)))
        for name in ("init_from", "catalogue")
        if isinstance(value := getattr(config, name, None), Path)
    }
    if named.get("init_from") == out:  # two folders of one name; in one place they would be the same
        named["init_from"] = Path("begun-from") / out
    vision = config.vision
    if vision is not None:
        vision = vision.model_copy(update={"encoder": public_name(vision.encoder)})
    return config.model_copy(
        update={
            "data": public_name(config.data),
            "out": out,
            "base_model": public_name(config.base_model),
            "vision": vision,
            **named,
        }
    )


def public_json(value: Any, key: str = "") -> Any:
    """Return the content of a JSON file whose paths of this machine are names."""
    if isinstance(value, dict):
        return {name: public_json(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [public_json(entry, key) for entry in value]
    if isinstance(value, str) and value:
        if key in _NAMES:
            return public_name(value)
        if Path(value).is_absolute() and len(Path(value).parts) > 2 and not any(map(str.isspace, value)):
            return Path(value).name
    return value
