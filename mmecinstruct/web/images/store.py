"""Received bytes, by their SHA-256, in a folder that recipes share."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

_TEMPORARY = "arriving"


class ImageStore:
    """Objects under `<folder>/objects/ab/cdef…`.

    An object is not flushed to disk when it is written, which would cost more than all else; it is verified when
    it is read. One that a power cut damaged is then removed, so that it is fetched again.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._temporary = folder / _TEMPORARY
        self._made: set[Path] = set()

    def path(self, sha256: str) -> Path:
        """Return where an object lies, or would."""
        return self._objects / sha256[:2] / sha256[2:]

    def put(self, content: bytes, sha256: str) -> None:
        """Store bytes under their hash, unless they are there. Safe in many threads. Raises OSError."""
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
        """Tell whether an object lies there, with that many bytes; `get` verifies it."""
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
        """Remove an object; tell whether it was there."""
        try:
            self.path(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    def remove_leftovers(self) -> None:
        """Remove what a killed run had begun to write. Only while no other run writes."""
        for path in self._temporary.glob("*"):
            path.unlink(missing_ok=True)
