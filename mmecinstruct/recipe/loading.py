"""Find, override and validate recipes.

A recipe is a YAML file (`pipelines/*.yaml` are built in). Overrides in dotted form (`sizes.train=100`) are
applied before validation, so a wrong name or a wrong type is an error that names the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.package_data import pipelines_folder
from mmecinstruct.recipe.model import ImageCheckSettings, Recipe
from mmecinstruct.tasks import TASKS


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
        changed = " with what --set changes" if overrides else ""
        told = [f"{path}{changed}: not a valid recipe:", *_problems(error, Recipe)]
        raise RecipeError("\n".join(told)) from error


def load_image_check_settings(recipe: str | None, overrides: Sequence[str] = ()) -> ImageCheckSettings:
    """Return what a recipe says of images, or the defaults, with dotted overrides such as `images.min_side=100`.

    Raises RecipeError with every wrong field.
    """
    content: dict[str, Any] = {}
    if recipe is not None:
        loaded = load_recipe(recipe)
        content = {"images": loaded.images.model_dump(), "fetch": loaded.fetch.model_dump()}
    for override in overrides:
        apply_override(content, override)
    try:
        return ImageCheckSettings.model_validate(content)
    except ValidationError as error:
        told = ["not valid settings of images:", *_problems(error, ImageCheckSettings)]
        raise RecipeError("\n".join(told)) from error


def _problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return a line for each wrong field; for a name that is none, what may have been meant."""
    lines = []
    for problem in error.errors():
        told = problem["msg"]
        if problem["type"] == "extra_forbidden":
            close = get_close_matches(str(problem["loc"][-1]), _field_names(model), n=1)
            told = "there is no such field" + (f"; is '{close[0]}' meant?" if close else "")
        lines.append(f"  {'.'.join(map(str, problem['loc'])) or '(recipe)'}: {told}")
    return lines


def _field_names(model: type[BaseModel]) -> list[str]:
    """Return the names of the fields of a model, of the models within it and of the tasks' settings."""
    schemas = [one.model_json_schema() for one in (model, *(task.settings for task in TASKS.values()))]
    parts = [part for schema in schemas for part in (schema, *schema.get("$defs", {}).values())]
    return list(dict.fromkeys(name for part in parts for name in part.get("properties", ())))


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
