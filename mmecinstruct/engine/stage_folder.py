"""The folder of a finished stage: its manifest, what of it is damaged, and how it is opened again for the missing part.

A manifest and the counts of a work item hold a hash of themselves; the manifest has size and hash of every file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.hashing import fingerprint, sha256_file
from mmecinstruct.engine.stage import StageOutput

MANIFEST = "manifest.json"
COUNTS = "counts.json"
# Ending of folders that are about to be deleted.
REMOVED = ".removed"
# Longer than a network file system remembers by default (60).
VISIBLE_SECONDS = 120

_SEAL = "seal"


class DamagedOutput(WorkspaceError):
    """A file of a finished stage is damaged. The stage is open again: run anew, it makes the damaged part again."""

    def __init__(self, stage: str, file: Path, folder: Path, why: str) -> None:
        self.file = file
        super().__init__(
            f"{file}, which stage {stage} wrote, is damaged: {why}; run again, which makes it anew; where that "
            f"repeats, check the disk, or delete {folder}"
        )


def sealed(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    """Return JSON that holds a hash of itself."""
    # As it is read back: keys that are numbers become texts, which sort otherwise.
    content = json.loads(json.dumps(content))
    return json.dumps({**content, _SEAL: fingerprint(content)}, indent=indent, sort_keys=True).encode()


def read_sealed(file: Path) -> dict[str, Any]:
    """Return the content of a sealed file; one of an earlier version has no seal.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not as it was written.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it holds no fields")
    seal = content.pop(_SEAL, None)
    if seal is not None and seal != fingerprint(content):
        raise ValueError("its content is not what was written")
    return content


def hashed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the size and hash of each file of a work item, by its path in the item's folder."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != COUNTS
    }


def read_finished(name: str, fingerprint: str, folder: Path) -> StageOutput | None:
    """Return a finished stage, or None.

    A stage whose manifest is damaged, or that lacks files, is opened again.

    Raises:
        WorkspaceError: The stage is damaged and its folder cannot be written.
    """
    try:
        manifest = read_sealed(folder / MANIFEST)
        files = {path: (entry["bytes"], entry["sha256"]) for path, entry in manifest["files"].items()}
        totals = (manifest["records"], manifest["kept"], manifest["rejected"], manifest["not_sampled"])
        extra = manifest["extra"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        reopen(folder, ())
        return None
    damaged = {path for path, (size, _) in files.items() if not _has_size(folder / path, size)}
    if damaged:
        reopen(folder, damaged)
        return None
    hashes = {path: sha256 for path, (_, sha256) in files.items()}
    return StageOutput(name, fingerprint, folder, *totals, extra, cached=True, hashes=hashes)


def _has_size(file: Path, size: int) -> bool:
    try:
        return file.is_file() and file.stat().st_size == size
    except OSError:
        return False


def reopen(folder: Path, damaged: Collection[str]) -> None:
    """Make a finished stage unfinished, without the work items of damaged files.

    Args:
        folder: The stage's folder.
        damaged: Paths of files below it.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    try:
        for key in sorted({path.partition("/")[0] for path in damaged}):
            remove(folder / key)
        partial = folder.with_name(folder.name + ".partial")
        remove(partial)
        folder.rename(partial)
    except OSError as error:
        what = (
            f"{folder / min(damaged)} is missing or changed" if damaged else f"{folder / MANIFEST} is damaged"
        )
        raise WorkspaceError(
            f"{what}, and its stage cannot be run again there ({error.strerror}); delete {folder} and run again, or "
            "give another --workspace"
        ) from error


def remove(folder: Path) -> None:
    """Remove a folder so that a killed removal leaves nothing under its name."""
    if not folder.exists():
        return
    doomed = folder.with_name(f"{folder.name}{REMOVED}")
    shutil.rmtree(doomed, ignore_errors=True)
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        # Its worker renamed it this moment.
        return
    shutil.rmtree(doomed, ignore_errors=True)


def read_counts(item: Path) -> dict[str, Any] | None:
    """Return the counts of a finished work item; None where it is not finished, or its counts are damaged."""
    try:
        counts = read_sealed(item / COUNTS)
    except (OSError, ValueError):
        return None
    return counts if {"records", "kept", "rejected", "extra"} <= counts.keys() else None


def wait_for(file: Path) -> None:
    """Wait until a file that another host wrote is visible.

    A network file system may remember for a while that it was not there.
    """
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not file.is_file():
        if time.monotonic() > deadline:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(file))
        # Reading the folder refreshes the cache of a network file system.
        os.scandir(file.parent.parent).close()
        time.sleep(0.2)
