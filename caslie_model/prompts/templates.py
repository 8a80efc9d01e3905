"""Prompt templates: packaged ones, those of an adapter folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caslie_model.errors import ModelError
from mmecinstruct.core.package_data import templates_folder

PROMPTS_FOLDER = "prompts"


def packaged_templates() -> tuple[str, str]:
    """Return the user and the plain template that come with the package."""
    return read_templates(templates_folder() / PROMPTS_FOLDER)


def read_templates(folder: Path) -> tuple[str, str]:
    """Return the user and the plain template of a folder. Raises ModelError when one is missing."""
    try:
        user, plain = ((folder / name).read_text(encoding="utf-8") for name in ("user.j2", "plain.j2"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder}: no prompt templates user.j2 and plain.j2: {error}") from error
    return user, plain


def compile_template(source: str) -> Any:
    """Compile a Jinja template. Raises ModelError where its syntax is wrong."""
    from jinja2 import TemplateError

    from mmecinstruct.core.templating import environment

    try:
        return environment().from_string(source)
    except TemplateError as error:
        raise ModelError(f"the prompt template is not valid: {error}") from error
