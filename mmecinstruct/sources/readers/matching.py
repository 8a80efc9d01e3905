"""Find the files below a folder that a recipe's path or glob names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath


def stays_below(pattern: str) -> bool:
    """Return whether a path or glob stays below the folder that it is relative to."""
    path = PurePosixPath(pattern)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def matching_files(root: Path, pattern: str) -> list[str]:
    """Return the files that a path or glob names, as paths below the folder, sorted.

    Args:
        root: The folder.
        pattern: A path or glob that stays below the folder (`stays_below`).
    """
    # Also names with brackets, which have a meaning in globs.
    if (root / pattern).is_file():
        return [PurePosixPath(pattern).as_posix()]
    return sorted(path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
