"""Find, override and validate recipes.

A recipe is a YAML file (those in `pipelines/` are built in). Dotted overrides (`sizes.train=100`) are applied before
validation, so a wrong name or type is an error that names the field.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmecinstruct.core.errors import RecipeError, YamlError
from mmecinstruct.core.package_data import recipe_files
from mmecinstruct.core.settings import QUIET, Settings, nested_settings, tell_old_names, wrong_fields
from mmecinstruct.core.yaml_text import MAX_DEPTH, parse_yaml, read_yaml
from mmecinstruct.recipe.model import ImageCheckSettings, Recipe

_SHOWN = 100  # characters of an override in a message


def built_in_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    return {path.stem: path for path in recipe_files()}


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a recipe.

    Args:
        name_or_path: The name of a built-in recipe, or the path of a YAML file.

    Raises:
        RecipeError: There is neither.
    """
    built_in = built_in_recipes()
    if name_or_path in built_in:
        return built_in[name_or_path]
    # Not Path.is_file, which raises for a name that is too long.
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    raise RecipeError(
        f"no recipe '{name_or_path[:_SHOWN]}': give a YAML file or one of {', '.join(built_in) or 'none found'}"
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        name_or_path: The name of a built-in recipe, or the path of a YAML file.
        overrides: Fields to set, in dotted form: `sizes.train=100`. The values are read as YAML.

    Returns:
        The recipe, with the defaults of the fields that it does not give.

    Raises:
        RecipeError: There is no such recipe, or a field is wrong. The message names every wrong field.
    """
    path = find_recipe(name_or_path)
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields to values")
    for override in overrides:
        apply_override(content, override, Recipe)
    tell_old_names(Recipe, content)
    try:
        return Recipe.model_validate(content, context=QUIET)
    except ValidationError as error:
        changed = " with its overrides" if overrides else ""
        lines = [f"{path}{changed}: not a valid recipe:", *wrong_fields(error, Recipe)]
        raise RecipeError("\n".join(lines)) from error


def load_image_check_settings(recipe: str | None, overrides: Sequence[str] = ()) -> ImageCheckSettings:
    """Return the settings of an image check.

    Args:
        recipe: The recipe whose parts `images`, `fetch` and `duplicates` are taken; None for the defaults.
        overrides: Fields to set, in dotted form: `images.min_side=100`.

    Raises:
        RecipeError: There is no such recipe, or a field is wrong. The message names every wrong field.
    """
    content: dict[str, Any] = {}
    if recipe is not None:
        loaded = load_recipe(recipe)
        content = {name: getattr(loaded, name).model_dump() for name in ImageCheckSettings.model_fields}
    for override in overrides:
        apply_override(content, override, ImageCheckSettings)
    tell_old_names(ImageCheckSettings, content)
    try:
        return ImageCheckSettings.model_validate(content, context=QUIET)
    except ValidationError as error:
        lines = ["not valid settings of images:", *wrong_fields(error, ImageCheckSettings)]
        raise RecipeError("\n".join(lines)) from error


def override_texts(overrides: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Return overrides in dotted form.

    Args:
        overrides: Texts such as `sizes.train=100`, or values by dotted names.

    Raises:
        RecipeError: A value has no end.
    """
    if not isinstance(overrides, Mapping):
        return list(overrides)
    texts = []
    for field, value in overrides.items():
        try:
            texts.append(f"{field}={json.dumps(value, default=str)}")  # JSON is YAML
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"setting {field}: nested too deeply, or within itself") from error
    return texts


def apply_override(content: dict[str, Any], override: str, kind: type[Settings] | None = None) -> None:
    """Set one field of a configuration's content in place.

    Args:
        content: The content of a YAML file.
        override: `a.b.0.c=VALUE`, the value read as YAML.
        kind: The settings class of the content. With it a field that the content has under its old name is found by
            the new name, and the reverse.

    Raises:
        RecipeError: The override is not of this form, or its path leads through something that is no mapping or list.
    """
    key, separator, text = override.partition("=")
    shown = override if len(override) <= _SHOWN else f"{override[:_SHOWN]}…"
    if not separator or not key:
        raise RecipeError(f"setting {shown}: write FIELD=VALUE, e.g. sizes.train=100")
    try:
        value = parse_yaml(text, f"setting {shown}")
    except YamlError as error:
        raise RecipeError(str(error)) from error
    *parents, last = key.split(".")
    if len(parents) >= MAX_DEPTH:
        raise RecipeError(f"setting {shown}: nested too deeply (more than {MAX_DEPTH} levels)")
    node: Any = content
    kinds: tuple[type[Settings], ...] = () if kind is None else (kind,)
    for name in parents:
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict):
            field = _name_in(kinds, node, name)
            if node.get(field) is None:
                node[field] = {}
            node, kinds = node[field], _kinds_of_field(kinds, name)
        else:
            raise RecipeError(f"setting {shown}: there is no field '{name}' to set '{last}' in")
    if isinstance(node, list) and last.isdecimal() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[_name_in(kinds, node, last)] = value
    else:
        raise RecipeError(f"setting {shown}: there is no field '{last}'")


def _name_in(kinds: Sequence[type[Settings]], node: dict[str, Any], name: str) -> str:
    """Return the spelling, old or new, under which a mapping has a field of one of the settings classes."""
    return next((found for kind in kinds if (found := kind.name_in(node, name)) != name), name)


def _kinds_of_field(kinds: Sequence[type[Settings]], name: str) -> tuple[type[Settings], ...]:
    """Return the settings classes of a field; `kinds` themselves for a name that is no field but a key of a mapping."""
    fields = [kind.model_fields.get(kind.renamed_fields.get(name, name)) for kind in kinds]
    there = [field for field in fields if field is not None]
    if not there:
        return tuple(kinds)
    return tuple(nested for field in there for nested in nested_settings(field.annotation))
