"""The base of every typed configuration of the project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from mmecinstruct.core.console import say

# Validation context of a configuration that a person cannot edit: its old names are read without a message.
QUIET: Mapping[str, Any] = {"quiet": True}

_told: set[tuple[str, str]] = set()
_told_in_files: set[str] = set()


def unit(name: str) -> FieldInfo:
    """Return the metadata of a measured setting, for `Annotated[int, …]`."""
    info: FieldInfo = Field(json_schema_extra={"unit": name})
    return info


Seconds = Annotated[float, unit("seconds")]
Bytes = Annotated[int, unit("bytes")]
Pixels = Annotated[int, unit("pixels")]
Levels = Annotated[float, unit("levels")]


class Settings(BaseModel):
    """Part of a configuration: immutable, unknown fields are errors.

    Attributes:
        renamed_fields: Old names of fields, each with the new one. A recipe or preset that gives an old name is read
            as if it gave the new one, and one line on stderr names both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    renamed_fields: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, Mapping) or not any(name in cls.renamed_fields for name in values):
            return values
        read = {name: value for name, value in values.items() if name not in cls.renamed_fields}
        for old, new in cls.renamed_fields.items():
            if old not in values:
                continue
            if new in read:
                raise ValueError(f"{old} is the old name of {new}: give {new} alone")
            read[new] = values[old]
            if info.context != QUIET and (old, new) not in _told:
                _told.add((old, new))
                say(f"setting {old} is now called {new}")
        return read

    @classmethod
    def name_in(cls, content: Mapping[str, Any], name: str) -> str:
        """Return the spelling, old or new, under which `content` has a field; `name` itself where it has none."""
        new = cls.renamed_fields.get(name, name)
        spellings = [new, *(old for old, current in cls.renamed_fields.items() if current == new)]
        return next((spelling for spelling in spellings if spelling in content), name)


def nested_settings(annotation: Any) -> list[type[Settings]]:
    """Return the settings classes within a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        # A field of a base class may hold any of its kinds, such as the settings of one task.
        return [annotation, *(kind for sub in annotation.__subclasses__() for kind in nested_settings(sub))]
    return [kind for part in get_args(annotation) for kind in nested_settings(part)]


def settings_classes(*roots: type[Settings]) -> list[type[Settings]]:
    """Return settings classes and all that their fields hold, each once."""
    found: dict[type[Settings], None] = {}
    waiting = list(roots)
    while waiting:
        kind = waiting.pop(0)
        if kind not in found:
            found[kind] = None
            for field in kind.model_fields.values():
                waiting += nested_settings(field.annotation)
    return list(found)


def wrong_fields(error: ValidationError, kind: type[Settings]) -> list[str]:
    """Return one line per wrong field of a configuration; an unknown name with the field that it resembles most."""
    everywhere = _field_names(settings_classes(kind))
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"]
        if problem["type"] == "extra_forbidden":
            name = str(problem["loc"][-1])
            classes = _classes_at(kind, problem["loc"][:-1])
            renamed = {old: new for one in classes for old, new in one.renamed_fields.items()}
            close = get_close_matches(name, [*_field_names(classes), *renamed], n=1)
            close = [renamed.get(each, each) for each in close] or get_close_matches(name, everywhere, n=1)
            message = "there is no such field" + (f"; did you mean '{close[0]}'?" if close else "")
        # What our own validators raise is a whole sentence.
        for words in ("Value error, ", "Assertion failed, "):
            message = message.removeprefix(words)
        where = ".".join(map(str, problem["loc"]))
        lines.append(f"  {where}: {message}" if where else f"  {message}")
    return lines


def tell_old_names(kind: type[Settings], content: Any, path: tuple[str, ...] = ()) -> None:
    """Print one line for each old name of a field in a configuration, with the section that it is in.

    Args:
        kind: The settings class of the content.
        content: The content of a file.
        path: Where the content is.
    """
    if not isinstance(content, Mapping):
        return
    for name, value in content.items():
        new = kind.renamed_fields.get(name, name)
        if new != name and (old := ".".join([*path, name])) not in _told_in_files:
            _told_in_files.add(old)
            say(f"setting {old} is now called {new}")
        if new not in kind.model_fields:
            continue
        for nested in nested_settings(kind.model_fields[new].annotation):
            for part, each in _parts(nested, value):
                tell_old_names(nested, each, (*path, name, *part))


def _parts(kind: type[Settings], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what may be of a settings class in a field: the value itself, or the items of a mapping or list."""
    if isinstance(value, Mapping) and not any(
        name in kind.model_fields or name in kind.renamed_fields for name in value
    ):
        yield from (((str(name),), each) for name, each in value.items())
    elif isinstance(value, list):
        yield from (((str(number),), each) for number, each in enumerate(value))
    else:
        yield (), value


def _field_names(kinds: Iterable[type[Settings]]) -> list[str]:
    return list(dict.fromkeys(name for kind in kinds for name in kind.model_fields))


def _classes_at(kind: type[Settings], path: Sequence[int | str]) -> list[type[Settings]]:
    """Return the settings classes that the mapping at a path of a configuration may be of."""
    kinds = [kind]
    for part in path:
        fields = [one.model_fields[str(part)] for one in kinds if part in one.model_fields]
        kinds = [nested for field in fields for nested in nested_settings(field.annotation)] or kinds
    return kinds
