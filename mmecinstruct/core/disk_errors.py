"""Errors of the file system as messages: the path, what is wrong, and what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmecinstruct.core.errors import OutputError

# Less free space than this is a full disk.
LEAST_FREE_BYTES = 1_000_000

# Errors of a folder that can be read and not written.
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)

_ANOTHER = "give another folder"
_REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), or use another disk",
    errno.EMFILE: "raise the limit of open files, e.g. `ulimit -n 4096`, or give fewer workers",
    errno.ENFILE: "close other programs, or raise the system's limit of open files",
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.EROFS: "give a path on a disk that can be written",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "a symbolic link there leads back to itself: delete it, or give another path",
    errno.ENOTDIR: "a part of the path is a file: give another path",
    errno.EBUSY: "it is a mount point, or in use: give a folder in it, or another path",
    errno.EEXIST: "a file is in the way: give another path",
}
_UNKNOWN = "mend it, or give another path"


def explained(error: OSError, path: Path | str | None = None) -> str:
    """Return an error of the file system as a message.

    Args:
        error: The error.
        path: What it is about, where the error names no file.

    Returns:
        The path, what is wrong, and the remedy.
    """
    named = error.filename if isinstance(error.filename, str | os.PathLike) else path
    reason = error.strerror or str(error) or type(error).__name__
    where = f"{shown(named)}: " if named is not None else ""
    return f"{where}{reason}; {remedy(error)}"


def remedy(error: OSError) -> str:
    """Return what to do about an error of the file system."""
    return _REMEDIES.get(error.errno or 0, _UNKNOWN)


def shown(path: Path | str | os.PathLike[str]) -> str:
    """Return a path as it can be printed, whatever bytes it is made of."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def path_problem(path: Path) -> str | None:
    """Return why no program could use a path, with the remedy; None where nothing is wrong or nothing is there."""
    text = os.fspath(path)
    if "\0" in text or text != shown(path):
        return "the name is not UTF-8 text; give another"
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"{error.strerror}; {remedy(error)}"
    return None


@contextmanager
def writing_to(path: Path, setting: str = "out") -> Iterator[None]:
    """Turn errors of the file system into messages that name the setting, while something is written.

    Args:
        path: Where is written.
        setting: The setting that names it.

    Yields:
        Nothing.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{setting}={shown(path)} cannot be written: {explained(error)}, and run the same command again"
        ) from error


def check_can_write(folder: Path, needed: int = LEAST_FREE_BYTES, setting: str = "out") -> None:
    """Check that a folder can be made or written and its disk has free space, before hours of work are spent.

    Args:
        folder: Where will be written; it need not exist.
        needed: Bytes that will be written.
        setting: The setting that names the folder.

    Raises:
        OutputError: If it cannot be written, or there is too little space.
    """
    there = existing(folder)
    # Also false on a disk that is read-only, whoever asks.
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"{setting}={shown(folder)} cannot be written: {shown(there)} is read-only, or of another user; {_ANOTHER}"
        )
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return
    # Some network disks do not say how large they are.
    if usage.total and usage.free < needed:
        raise OutputError(
            f"{setting}={shown(folder)}: the disk is full: {usage.free / 1e6:,.1f} MB are free at {shown(there)}, "
            f"{needed / 1e6:,.1f} MB are needed; free space, or {_ANOTHER}"
        )


def existing(path: Path) -> Path:
    """Return the path itself or the nearest folder above it that exists."""
    path = path.absolute()
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path
