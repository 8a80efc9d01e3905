"""Load and render templates: sandboxed Jinja2 in which a missing variable is an error.

Templates render plain text and JSON, never HTML, so nothing is escaped. `tojson` gives JSON as it is published (no HTML
escapes, characters beyond ASCII unchanged); `ordinal` gives 1st, 2nd, 3rd, ….
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.package_data import templates_folder


@cache
def environment() -> SandboxedEnvironment:
    """Return the Jinja2 environment of the templates folder. Names are paths below it, with `/`."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(templates_folder(), encoding="utf-8"),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["tojson"] = _to_json
    made.filters["ordinal"] = ordinal
    return made


def compiled(name: str) -> Template:
    """Return a compiled template; it is compiled once.

    Raises:
        RenderError: The template is missing or is not valid Jinja2.
    """
    try:
        return environment().get_template(name)
    except TemplateError as error:
        raise RenderError(f"templates/{name}: {type(error).__name__}: {error}") from error


def rendered(template: Template, variables: Mapping[str, Any]) -> str:
    """Return the rendered text of a template without white space at its ends.

    Raises:
        RenderError: A variable is missing, or the sandbox forbids an operation.
    """
    try:
        return template.render(variables).strip()
    except TemplateError as error:
        raise RenderError(f"templates/{template.name}: {type(error).__name__}: {error}") from error


def template_hash(name: str) -> str:
    """Return the SHA-256 of a template's file.

    Raises:
        RenderError: The template is missing.
    """
    path = templates_folder() / name
    if not path.is_file():
        raise RenderError(f"templates/{name}: there is no such template")
    return sha256_file(path)


def ordinal(number: int) -> str:
    """Return the English ordinal of a number: 1st, 2nd, 3rd, 4th, … 11th, 12th, 13th, … 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _to_json(value: Any) -> str:
    if isinstance(value, Undefined):
        # Raises the error that names the variable.
        str(value)
    return json.dumps(value, ensure_ascii=False)
