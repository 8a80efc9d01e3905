"""Atomic writes, flushing to disk and permissions."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it holds either the old or the whole new content, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        # What a full disk did not take would keep it full.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def give_ordinary_permissions(path: Path) -> None:
    """Give a file, or all below a folder, the permissions of new ones: some libraries write for the owner alone."""
    # It can only be read by setting it; meanwhile new files are the owner's.
    umask = os.umask(0o077)
    os.umask(umask)
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file() and not file.is_symlink():
            file.chmod(0o666 & ~umask)


def sync_tree(folder: Path) -> None:
    """Flush everything below a folder to disk."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
