"""Locks of files: they end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class LockHeld(Exception):
    """Another process holds a lock; the text names it."""


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


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, without a file in it.

    Args:
        folder: The folder; it may be renamed meanwhile.

    Raises:
        LockHeld: Another process holds it.
        OSError: It cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(str(folder)) from None
        yield
    finally:
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
