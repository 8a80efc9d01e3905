"""The base of every typed configuration of the project."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

_told: set[tuple[str, str]] = set()


class Settings(BaseModel):
    """Part of a configuration: immutable, unknown fields are errors.

    Attributes:
        renamed_fields: old names of fields, each with today's. A recipe or preset that gives an old name is read as
            if it gave the new one, and one line on stderr names both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    renamed_fields: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not any(name in cls.renamed_fields for name in values):
            return values
        read = {name: value for name, value in values.items() if name not in cls.renamed_fields}
        for old, new in cls.renamed_fields.items():
            if old not in values:
                continue
            if new in read:
                raise ValueError(f"{old} is the old name of {new}: give {new} alone")
            read[new] = values[old]
            if (old, new) not in _told:
                _told.add((old, new))
                print(f"setting {old} is now called {new}", file=sys.stderr)
        return read
