"""The base of every typed configuration of the project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from mmecinstruct.core.console import say

# Validation context of a configuration that a person cannot edit: its old names are read without a message.
QUIET: Mapping[str, Any] = {"quiet": True}

_told: set[tuple[str, str]] = set()


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
        lines.append(f"  {'.'.join(map(str, problem['loc'])) or '(top level)'}: {message}")
    return lines


def _field_names(kinds: Iterable[type[Settings]]) -> list[str]:
    return list(dict.fromkeys(name for kind in kinds for name in kind.model_fields))


def _classes_at(kind: type[Settings], path: Sequence[int | str]) -> list[type[Settings]]:
    """Return the settings classes that the mapping at a path of a configuration may be of."""
    kinds = [kind]
    for part in path:
        fields = [one.model_fields[str(part)] for one in kinds if part in one.model_fields]
        kinds = [nested for field in fields for nested in nested_settings(field.annotation)] or kinds
    return kinds
