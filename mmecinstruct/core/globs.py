"""Tell a glob from a path."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_glob(value: str) -> str:
    """Return a pattern that `Path.glob` takes. Raises ValueError for another."""
    if any("**" in part and part != "**" for part in PurePosixPath(value).parts):
        raise ValueError("'**' stands alone between slashes")
    return value
