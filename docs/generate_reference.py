"""Write the reference pages that follow from the code: commands, settings, the Python API.

python docs/generate_reference.py            write docs/reference/{commands,recipe,presets,python}.md
python docs/generate_reference.py --check    exit 1 and name the pages that differ from the code
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

# The only lines that depend on the folder of the code.
from caslie_model.cli.app import app as caslie_model_app
from caslie_model.config.caption_quality import CaptionQualityConfig
from caslie_model.config.captions import CaptionConfig
from caslie_model.config.evaluation import EvaluateConfig, PredictConfig
from caslie_model.config.judging import JudgeConfig
from caslie_model.config.training import AlignConfig, FinetuneConfig
from mmecinstruct.cli.app import app as mmec_app
from mmecinstruct.core.settings import nested_settings
from mmecinstruct.recipe import Recipe, TaskSettings
from mmecinstruct.tasks import TASKS

PACKAGES = ("mmecinstruct", "caslie_model")
REFERENCE = Path(__file__).parent / "reference"
SHARED = "Every training"
GENERATED = "<!-- Written by docs/generate_reference.py; edit the code instead. -->\n\n"
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "pattern": "matches"}


def main() -> None:
    """Write the pages, or compare them with what the code says now."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where a page differs")
    check = parser.parse_args().check
    pages = {
        "commands.md": commands_page(),
        "recipe.md": recipe_page(),
        "presets.md": presets_page(),
        "python.md": python_page(),
    }
    stale = []
    for name, text in pages.items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/reference/{name}")
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"differ from the code: {', '.join(stale)}; run: python docs/generate_reference.py")


# Commands


def commands_page() -> str:
    """Return the page of every command, its arguments and options."""
    sections = [GENERATED, "# Commands\n\n"]
    sections.append("Data goes to stdout; progress and messages go to stderr.\n")
    for name, app in (("mmec", mmec_app), ("caslie_model", caslie_model_app)):
        sections.extend(command_sections(typer.main.get_command(app), name, 2))
    return "".join(sections).rstrip() + "\n"


def command_sections(command: Any, name: str, level: int) -> Iterator[str]:
    """Yield the section of a command, then those of its subcommands."""
    yield f"\n{'#' * level} `{name}`\n\n"
    yield prose_and_examples(f"{inspect.cleandoc(command.help or '')}\n\n{command.epilog or ''}")
    context = typer.Context(command, info_name=name)
    records = [
        record
        for parameter in command.params
        if (record := parameter.get_help_record(context)) and parameter.name != "help"
    ]
    if records:
        yield "\n| argument or option | meaning |\n|---|---|\n"
        for usage, meaning in records:
            yield f"| {code(usage)} | {cell(meaning)} |\n"
    for child in getattr(command, "commands", {}).values():
        if not child.hidden:
            yield from command_sections(child, f"{name} {child.name}", min(level + 1, 4))


def prose_and_examples(text: str) -> str:
    """Return help text as Markdown: lines that call a command become one block of code."""
    parts: list[str] = []
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\b", "")):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        if lines in ([], ["Example:"], ["Examples:"]):
            continue
        starts = re.sub(r"^Examples?: *", "", lines[0]).startswith(("mmec ", "caslie_model "))
        if not starts:
            parts.append(" ".join(lines))
            continue
        for line in lines:
            line = re.sub(r"^Examples?: *", "", line)
            if line.startswith(("mmec ", "caslie_model ")) or not examples:
                examples.append(line)
            else:
                examples[-1] += " " + line
    if examples:
        parts.append("```bash\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(parts) + "\n"


# Settings


def recipe_page() -> str:
    """Return the page of every field of a recipe."""
    intro = "# Recipe fields\n\nA recipe is a YAML file. `--set a.b=VALUE` overrides any field. "
    intro += "Unknown fields are errors.\n"
    own = {
        f"tasks.{name}": task.settings for name, task in TASKS.items() if task.settings is not TaskSettings
    }
    return GENERATED + intro + settings_sections({"Top level": Recipe, **own})


def presets_page() -> str:
    """Return the page of every setting of training, evaluation and captioning."""
    intro = (
        "# Preset and evaluation fields\n\nA preset is a YAML file with settings of a training; `--set a.b=VALUE` "
        "overrides any of them. A preset of captions has two sections, `caption:` and `judge:`, with the fields of "
        "these. Unknown fields are errors.\n"
    )
    roots = {
        "finetune": FinetuneConfig,
        "align": AlignConfig,
        "predict": PredictConfig,
        "evaluate": EvaluateConfig,
        "caption": CaptionConfig,
        "judge": JudgeConfig,
        "caption_quality": CaptionQualityConfig,
    }
    return GENERATED + intro + settings_sections(roots)


def settings_sections(roots: dict[str, Any]) -> str:
    """Return a section for each settings class that can be reached from `roots`, each class once."""
    titles: dict[type[BaseModel], str] = {}
    for title, root in roots.items():
        for base in reversed(root.__mro__[1:]):
            if is_settings(base) and base.model_fields:
                collect(base, SHARED, titles)
        collect(root, title, titles)
    sections: list[str] = []
    for kind, title in titles.items():
        heading = title if title in (*roots, SHARED) else f"`{title}`"
        sections.append(f"\n## {heading} {{ #{kind.__name__} }}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n")
        for base in kind.__mro__[1:]:
            if base in titles:
                sections.append(f"\nAll fields of [{titles[base]}](#{base.__name__}), and:\n")
        sections.append(fields_table(kind))
    return "".join(sections)


def collect(kind: type[BaseModel], title: str, titles: dict[type[BaseModel], str], prefix: str = "") -> None:
    """Add a settings class and those that its fields hold, under their dotted paths."""
    if kind in titles:
        return
    titles[kind] = title
    for name in own_fields(kind):
        annotation = kind.model_fields[name].annotation
        for nested in nested_settings(annotation):
            if issubclass(nested, TaskSettings) and nested is not TaskSettings:
                continue  # a root of its own, under the task's name
            path = f"{prefix}{name}"
            if get_origin(strip(annotation)) is dict:
                path += ".NAME"
            title = path
            if "kind" in nested.model_fields:
                title += f" of kind {get_args(nested.model_fields['kind'].annotation)[0]}"
            collect(nested, title, titles, f"{path}.")


def own_fields(kind: type[BaseModel]) -> list[str]:
    """Return the fields that a class states itself, without those of its bases."""
    return [name for name in kind.model_fields if name in kind.__annotations__]


def fields_table(kind: type[BaseModel]) -> str:
    """Return the table of a class's own fields."""
    names = own_fields(kind)
    if not names:
        return ""
    units = {name: unit(kind.model_fields[name]) for name in names}
    head = ["field", "type", "default", *(["unit"] if any(units.values()) else []), "meaning"]
    lines = ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in names:
        field = kind.model_fields[name]
        row = [code(name), cell(type_text(field)), default_text(field)]
        if any(units.values()):
            row.append(cell(units[name]))
        row.append(cell(field.description or ""))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def unit(field: FieldInfo) -> str:
    """Return the unit that a field states as `json_schema_extra={"unit": …}`."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def type_text(field: FieldInfo) -> str:
    """Return a field's type with its limits, in words."""
    limits = [
        f"{sign} {code(value) if name == 'pattern' else value}"
        for limit in field.metadata
        for name, sign in LIMITS.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    return ", ".join([annotation_text(field.annotation), *limits])


def annotation_text(annotation: Any) -> str:
    """Return a type annotation in words."""
    annotation = strip(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [annotation_text(part) for part in arguments]
        return " or ".join(kinds) if len(kinds) < 4 else f"one of {', '.join(kinds)}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {annotation_text(arguments[0])}"
    if origin in (list, dict):
        noun = "list of" if origin is list else "mapping of names to"
        return f"{noun} {annotation_text(arguments[-1])}"
    if annotation is type(None):
        return "null"
    if is_settings(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__})"
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return "path"
    return getattr(annotation, "__name__", str(annotation))


def default_text(field: FieldInfo) -> str:
    """Return a field's default as YAML would have it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "its fields' defaults"
    return code(json.dumps(value, default=str, ensure_ascii=False))


def strip(annotation: Any) -> Any:
    """Return an annotation without `Annotated`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def is_settings(value: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a value is a pydantic class."""
    return isinstance(value, type) and issubclass(value, BaseModel)


# Python API


def python_page() -> str:
    """Return the page of the public functions and classes; the site fills it in from their docstrings."""
    lines = [GENERATED + "# Python API\n"]
    for package_name in PACKAGES:
        package = importlib.import_module(package_name)
        lines.append(f"\n## {package_name}\n\n{inspect.cleandoc(package.__doc__ or '')}\n")
        for name in package.__all__:
            value = getattr(package, name)
            if not callable(value):
                continue
            lines.append(f"\n::: {value.__module__}.{value.__qualname__}\n    options:\n")
            lines.append(f"      heading: {package_name}.{name}\n      toc_label: {name}\n")
            if is_settings(value):
                lines.append("      members: false\n")
    return "".join(lines)


def cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def code(text: str) -> str:
    """Return text as code for a cell of a Markdown table."""
    return f"`{cell(text)}`"


if __name__ == "__main__":
    main()
