"""The Parquet files of a dataset folder: which split each one holds.

Read are `<task>/<split>-….parquet` as `mmec build` writes them, and what other tools write for `datasets.load_dataset`:
`<task>/<split>.parquet`, `<task>/<split>/….parquet`, each also below `<task>/data/`, with `dev`, `val` or `valid` for
validation.
"""

from __future__ import annotations

from pathlib import Path

_DEPTHS = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
_VALIDATION = ("dev", "val", "valid")


def is_dataset_folder(folder: Path) -> bool:
    """Return whether a folder has Parquet files of a task."""
    return any(True for depth in _DEPTHS for _ in folder.glob(f"*/{depth}"))


def shards_of(folder: Path, task: str) -> dict[str, list[Path]]:
    """Return a task's files by split.

    Args:
        folder: A dataset folder.
        task: Full name of a task.

    Returns:
        Files of each split, in the order of their names; none when the dataset lacks the task.
    """
    shards: dict[str, list[Path]] = {}
    root = folder / task
    for file in sorted(file for depth in _DEPTHS for file in root.glob(depth)):
        names = [name for name in file.relative_to(root).parts if name != "data"]
        # "test-00000-of-00002.parquet", or the folder "test"; the folder "test-backup" is no split.
        split = names[0].removesuffix(".parquet").partition("-")[0] if len(names) == 1 else names[0]
        if not names[0].startswith("."):
            shards.setdefault("validation" if split in _VALIDATION else split, []).append(file)
    return shards
