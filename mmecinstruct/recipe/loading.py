"""Find, override and validate recipes.

A recipe is a YAML file (`pipelines/*.yaml` are built in). Overrides in dotted form (`sizes.train=100`) are
applied before validation, so a wrong name or a wrong type is an error that names the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mmecinstruct.errors import RecipeError
from mmecinstruct.recipe.images import ImageSettings
from mmecinstruct.recipe.model import Recipe
from mmecinstruct.resources import pipelines_folder


def built_in_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(pipelines_folder().glob("*.yaml"))}


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a built-in recipe's name or of a path.

    Raises RecipeError when there is neither.
    """
    built_in = built_in_recipes()
    if name_or_path in built_in:
        return built_in[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise RecipeError(
        f"no recipe '{name_or_path}': give a YAML file or one of {', '.join(built_in) or 'none found'}"
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe, with dotted overrides such as `sizes.train=100`.

    Raises RecipeError with every wrong field and its remedy.
    """
    path = find_recipe(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, no such date
        raise RecipeError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields to values")
    for override in overrides:
        apply_override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(recipe)'}: {e['msg']}" for e in error.errors()]
        raise RecipeError("\n".join([f"{path}: not a valid recipe:", *lines])) from error


def load_image_settings(recipe: str | None, overrides: Sequence[str] = ()) -> ImageSettings:
    """Return the `images` part of a recipe, or the defaults, with dotted overrides such as `min_side=100`.

    Raises RecipeError with every wrong field.
    """
    content = load_recipe(recipe).images.model_dump() if recipe is not None else {}
    for override in overrides:
        apply_override(content, override)
    try:
        return ImageSettings.model_validate(content)
    except ValidationError as error:
        lines = [f"  images.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError("\n".join(["not valid settings of images:", *lines])) from error


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one dotted field of a recipe's content in place: `a.b.0.c=VALUE`, the value read as YAML.

    Raises RecipeError where the path leads through something that is no mapping or list.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {override}: write FIELD=VALUE, e.g. sizes.train=100")
    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"--set {override}: the value is not YAML: {error}") from error
    *parents, last = key.split(".")
    place: Any = content
    for name in parents:
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, dict):
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
        else:
            raise RecipeError(f"--set {override}: there is no field '{name}' to set '{last}' in")
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"--set {override}: there is no field '{last}'")
