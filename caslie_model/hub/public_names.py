"""Public names of models and datasets: names that others can use, without paths of this machine.

Whether `models/base` was a folder or a repository on the Hub can only be known where and when it was used: a training
records which of its names were folders (`local_folders`, in training.json). Without that record the form of the name
decides, and whether it exists here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from caslie_model.config.training import TrainingConfig
from caslie_model.hub.names import is_hub_name

AnyTraining = TypeVar("AnyTraining", bound=TrainingConfig)

# Fields of JSON files that name a model: a Hub id stays, a folder becomes its last part.
_NAMES = frozenset(
    {"base_model", "base_model_name_or_path", "vision_encoder", "_name_or_path", "name_or_path"}
)
CARD_TAGS = ("caslie", "mmecinstruct", "e-commerce")
_NO_PLACES = ("package:", "random:")
_NOTHING: Mapping[str, str] = {}


def is_path(name: str) -> bool:
    """Return whether a name is a path of this machine, by its form or because it exists here.

    Args:
        name: Name of a model or dataset.

    Returns:
        Whether it is a path.
    """
    return _has_form_of_path(name) or (not name.startswith(_NO_PLACES) and Path(name).exists())


def public_name(name: str, known: Mapping[str, str] = _NOTHING) -> str:
    """Return the public name of a model or dataset: the name itself, or the last part of a path.

    Args:
        name: Name or path.
        known: Public names that are already decided, by name.

    Returns:
        The public name.
    """
    if name in known:
        return known[name]
    return _last_part(name) if is_path(name) else name


def hub_id(name: str, known: Mapping[str, str] = _NOTHING) -> str | None:
    """Return a name if the Hub can link to it.

    Args:
        name: Name or path.
        known: Public names that are already decided, by name.

    Returns:
        The name, None for one that is no repository on the Hub.
    """
    return name if public_name(name, known) == name and is_hub_name(name) else None


def local_folders(config: TrainingConfig) -> dict[str, str]:
    """Return which of a training's names are paths here and now.

    Args:
        config: The settings of the training.

    Returns:
        The last part of each path, by field.
    """
    return {
        field: _last_part(name)
        for field, name in _named(config).items()
        if is_path(name) or (field in ("init_from", "catalogue", "captions_from") and not is_hub_name(name))
    }


def known_names(config: TrainingConfig, folders: Mapping[str, str] | None) -> dict[str, str]:
    """Return the public name of each name in a training's config.

    Args:
        config: The settings of the training.
        folders: `folders` of training.json; None where it has none.

    Returns:
        Public names by name.
    """
    if folders is None:
        folders = local_folders(config)
    return {
        name: folders.get(field) or (_last_part(name) if _has_form_of_path(name) else name)
        for field, name in _named(config).items()
    }


def public_config(config: AnyTraining, folders: Mapping[str, str] | None = None) -> AnyTraining:
    """Return a config with public names instead of paths, as valid as the original.

    Args:
        config: The settings of a training.
        folders: `folders` of training.json; None where it has none.

    Returns:
        The public config.
    """
    known = known_names(config, folders)
    out = Path(config.out.resolve().name)
    named: dict[str, Any] = {
        name: Path(public_name(str(value), known))
        for name in ("init_from", "catalogue", "captions_from")
        if isinstance(value := getattr(config, name, None), Path)
    }
    # Two folders of one name: beside each other they would be the same.
    if named.get("init_from") == out:
        named["init_from"] = Path("begun-from") / out
    vision = config.vision
    if vision is not None:
        vision = vision.model_copy(update={"encoder": public_name(vision.encoder, known)})
    return config.model_copy(
        update={
            "data": public_name(config.data, known),
            "out": out,
            "base_model": public_name(config.base_model, known),
            "vision": vision,
            **named,
        }
    )


def public_json(value: Any, key: str = "", known: Mapping[str, str] = _NOTHING) -> Any:
    """Return the content of a JSON file with public names instead of paths.

    Args:
        value: The content, or a part of it.
        key: The key of the part.
        known: Public names that are already decided, by name.

    Returns:
        The public content.
    """
    if isinstance(value, dict):
        return {name: public_json(entry, name, known) for name, entry in value.items()}
    if isinstance(value, list):
        return [public_json(entry, key, known) for entry in value]
    if isinstance(value, str) and value:
        if key in _NAMES:
            return public_name(value, known)
        if _is_surely_a_path(value):
            return _last_part(value)
    return value


def _named(config: TrainingConfig) -> dict[str, str]:
    found = {
        "base_model": config.base_model,
        "vision_encoder": config.vision.encoder if config.vision is not None else None,
        "data": config.data,
        "init_from": config.init_from,
        "catalogue": getattr(config, "catalogue", None),
        "captions_from": getattr(config, "captions_from", None),
    }
    return {field: str(name) for field, name in found.items() if name is not None}


def _has_form_of_path(name: str) -> bool:
    return not name.startswith(_NO_PLACES) and (
        name.startswith((".", "~"))
        or name.endswith("/")
        or "\\" in name
        or name.count("/") > 1
        or Path(name).is_absolute()
    )


def _is_surely_a_path(value: str) -> bool:
    """Return whether a text is certainly a path; it may be any text, such as a template."""
    if len(value.splitlines()) != 1:
        return False
    path = Path(value)
    if path.is_absolute() and len(path.parts) > 2 and not any(map(str.isspace, value)):
        return True
    if value.startswith(("file://", "~/")):
        return True
    return any(
        len(folder.parts) > 1 and (path == folder or value.startswith(f"{folder}/"))
        for folder in (_home(), Path.cwd())
        if folder is not None
    )


def _last_part(name: str) -> str:
    """Return the name of a path. The user's own folder has the user's name, so it is `home`."""
    name = name.removeprefix("file://")
    parts = [part for part in re.split(r"[/\\]+", name) if part not in ("", ".")]
    if not parts or parts[-1] == "..":
        name = str(Path(name).resolve())
        parts = [part for part in name.split("/") if part] or ["root"]
    if (parts[-1].startswith("~") and len(parts) == 1) or Path(name) == _home():
        return "home"
    return parts[-1]


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without one, as in some containers
        return None
