"""Atomic writes, locks, flushing to disk, and what to do about errors of the disk."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Errors of a folder that can be read and not written.
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)

_REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, as your quota is used up",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EMFILE: "allow more open files (ulimit -n 4096) or give fewer --workers",
    errno.ENFILE: "close other programs, as the system has too many open files",
    errno.ENAMETOOLONG: "choose a shorter path",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file is in the way; choose another path"),
    errno.ELOOP: "mend the link, which leads back to itself, or choose another path",
    **dict.fromkeys(NOT_WRITABLE, "allow writing there or choose another path"),
}
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class LockHeld(Exception):
    """Another process holds a lock; the text names it."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it holds either the old or the whole new content, also after a power cut.

    Raises:
        OSError: It cannot be written; the error names the file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Flush everything below a folder to disk; what links lead to is left out."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
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


@contextmanager
def hold_lock(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock of a file while the context lasts; the system frees the lock of a killed process.

    Args:
        path: The file. It is made where it is missing, and says who holds it.
        remove: Whether to remove the file at the end.

    Raises:
        LockHeld: Another process holds it.
        OSError: The file cannot be made or locked.
    """
    descriptor = _lock(path)
    try:
        # On a full disk the lock holds nevertheless.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        if remove:
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file meanwhile: then the lock is of no use.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 300, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise LockHeld(holder or "unknown") from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths of one file system in one step; return False where the system cannot do that."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def path_problem(path: Path) -> str | None:
    """Return why no program could use a path, with the remedy; None where nothing is wrong or nothing is there."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "the path is not UTF-8; rename it or choose another"
    if "\0" in str(path):
        return "the path holds a null character; choose another"
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"{error.strerror}; {remedy(error)}"
    return None


def remedy(error: OSError) -> str:
    """Return what to do about an error of the disk."""
    return _REMEDIES.get(error.errno or 0, "mend it or choose another path")
