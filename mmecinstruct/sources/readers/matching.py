"""Which files below a folder a recipe's path or glob names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath


def stays_below(pattern: str) -> bool:
    """Tell whether a path or glob leads nowhere but below the folder that it is taken from."""
    path = PurePosixPath(pattern)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def matching_files(root: Path, pattern: str) -> list[str]:
    """Return the files that a path or glob names, as paths below the folder, sorted.

    pattern: one that stays below (`stays_below`).
    """
    if (root / pattern).is_file():  # also names with brackets, which a glob reads otherwise
        return [PurePosixPath(pattern).as_posix()]
    return sorted(path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
