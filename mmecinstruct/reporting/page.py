"""Pages: one HTML file that asks for nothing else, needs no script, and escapes all text that it is given.

The templates are in `templates/pages/`. Text becomes mark-up in a template only, where Jinja2 escapes it; `Markup` is
what a template made. The page's policy forbids scripts, requests and all styles but its own, should anything slip
through.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.package_data import templates_folder
from mmecinstruct.core.shown import printable
from mmecinstruct.core.templating import environment, rendered
from mmecinstruct.reporting.tables import Table

_FOLDER = "pages"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a page.

    Attributes:
        name: Its anchor.
        title: Its heading.
        body: Its content, made by `fragment`.
    """

    name: str
    title: str
    body: Markup


def page(title: str, lead: Markup, sections: Sequence[Section], footer: str) -> str:
    """Return a whole page.

    Args:
        title: Of the page.
        lead: What stands below the title.
        sections: The sections, which the page lists at its top.
        footer: The last line.
    """
    style = (templates_folder() / _FOLDER / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    made = fragment(
        "page.html.j2",
        title=title,
        lead=lead,
        sections=sections,
        footer=footer,
        # The project's own file; between its tags nothing is escaped.
        style=Markup(style),
        style_hash=digest,
    )
    return f"{made}\n"


def fragment(template: str, **variables: Any) -> Markup:
    """Return a part of a page.

    Args:
        template: File in `templates/pages/`.
        **variables: What it shows; texts are escaped.

    Raises:
        RenderError: The template is missing or not valid, or lacks a variable.
    """
    name = f"{_FOLDER}/{template}"
    try:
        made = _environment().get_template(name)
    except TemplateError as error:
        raise RenderError(f"templates/{name}: {type(error).__name__}: {error}") from error
    return Markup(rendered(made, variables))


def table_html(table: Table) -> Markup:
    """Return a table for a page, without its title: the section's heading says it.

    Args:
        table: The table.
    """
    return fragment("table.html.j2", table=table)


def paragraphs(*texts: str) -> Markup:
    """Return texts as paragraphs.

    Args:
        *texts: Plain text each.
    """
    return fragment("paragraphs.html.j2", texts=texts)


@cache
def _environment() -> SandboxedEnvironment:
    made = environment().overlay(autoescape=True)
    # Invisible characters that turn the direction of a text could make one answer look like another.
    made.filters = {**made.filters, "printable": lambda text: printable(str(text), keep="\n\t")}
    return made
