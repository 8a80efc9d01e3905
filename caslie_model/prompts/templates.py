"""Prompt templates: those of the package and those of an adapter folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caslie_model.errors import ModelError
from mmecinstruct.core.package_data import templates_folder

PROMPTS_FOLDER = "prompts"


def packaged_templates() -> tuple[str, str]:
    """Return the user's and the plain template that come with the package."""
    return read_templates(templates_folder() / PROMPTS_FOLDER)


def read_templates(folder: Path) -> tuple[str, str]:
    """Return the user's and the plain template of a folder.

    Args:
        folder: Holds user.j2 and plain.j2.

    Returns:
        Their sources.

    Raises:
        ModelError: If one is missing.
    """
    try:
        user, plain = ((folder / name).read_text(encoding="utf-8") for name in ("user.j2", "plain.j2"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder}: no prompt templates user.j2 and plain.j2: {error}") from error
    return user, plain


def compile_template(source: str) -> Any:
    """Return a compiled template, sandboxed and strict.

    Args:
        source: Jinja source.

    Returns:
        The template.

    Raises:
        ModelError: If it is not valid.
    """
    from jinja2 import StrictUndefined

    from caslie_model.prompts.bounds import BoundedEnvironment, within_bounds
    from mmecinstruct.core.templating import environment

    ours = environment()
    with within_bounds("the prompt template"):
        made = BoundedEnvironment(
            loader=ours.loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        made.filters |= ours.filters
        return made.from_string(source)
