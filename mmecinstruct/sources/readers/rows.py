"""Rows of tables as dictionaries, and the columns that a table must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import SourceError

Row = dict[str, Any]


def require_columns(path: Path, present: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Check that a table has the columns that are read.

    Args:
        path: The file, for the message.
        present: The columns of the table.
        wanted: Columns by what needs them, a recipe field or a publisher's format.

    Raises:
        SourceError: A column is missing or occurs twice; the message names the file, the column and what needs it.
    """
    for field, column in wanted.items():
        if column not in present:
            there = ", ".join(present[:50]) or "none"
            raise SourceError(
                f"{path}: there is no column '{column}' ({field}). Columns that there are: {there}"
            )
        if present.count(column) > 1:
            raise SourceError(f"{path}: there are several columns '{column}' ({field}); rename all but one")
