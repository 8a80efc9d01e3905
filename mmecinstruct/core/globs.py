"""Validate glob patterns."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_glob(value: str) -> str:
    """Return the pattern if `Path.glob` accepts it.

    Raises:
        ValueError: `**` is joined with other characters.
    """
    if any("**" in part and part != "**" for part in PurePosixPath(value).parts):
        raise ValueError("'**' must be alone between slashes")
    return value
