"""A store of received bytes by their SHA-256, in a folder that all recipes share."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

_TEMPORARY = "arriving"


class ImageStore:
    """Objects under `<folder>/objects/ab/cdef…`.

    An object is not flushed to disk when it is written, which would take most of the time. It is verified when it is
    read: an object damaged by a power cut is then removed, so that it is fetched again.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store of a folder; nothing is written yet."""
        self._objects = folder / "objects"
        self._temporary = folder / _TEMPORARY
        self._made: set[Path] = set()

    def path(self, sha256: str) -> Path:
        """Return the path of an object, whether it exists or not."""
        return self._objects / sha256[:2] / sha256[2:]

    def put(self, content: bytes, sha256: str) -> None:
        """Store bytes under their hash, unless they are there. Thread-safe.

        Raises:
            OSError: The bytes cannot be written.
        """
        path = self.path(sha256)
        if self.has(sha256, len(content)):
            return
        for folder in (self._temporary, path.parent):
            if folder not in self._made:
                folder.mkdir(parents=True, exist_ok=True)
                self._made.add(folder)
        temporary = self._temporary / f"{sha256}.{os.getpid()}.{threading.get_ident()}"
        temporary.write_bytes(content)
        temporary.replace(path)

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Return whether there is an object, of `size` bytes where given; `get` verifies the content."""
        try:
            found = os.stat(self.path(sha256)).st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def get(self, sha256: str) -> bytes | None:
        """Return an object; None where there is none. A damaged one is removed."""
        path = self.path(sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            path.unlink(missing_ok=True)
            return None
        return content

    def remove(self, sha256: str) -> bool:
        """Remove an object; return whether it was there."""
        try:
            self.path(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    def remove_leftovers(self) -> None:
        """Remove partly written files of a killed run. Only while no other run writes."""
        for path in self._temporary.glob("*"):
            path.unlink(missing_ok=True)
