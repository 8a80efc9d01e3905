"""A partly downloaded file: the bytes that have arrived, and their version.

`a.gz` is downloaded to `a.gz.partial`; `a.gz.partial.state` holds the version that the server gave. The bytes are
written unbuffered, so a killed process leaves everything that it received. Bytes are only appended, and on common file
systems a power cut shortens such a file but adds no foreign bytes. Where the version changes, the bytes are removed
before the new version is written, so one version's bytes are never taken for another's.
"""

from __future__ import annotations

import glob
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from mmecinstruct.core.files import remove_leftovers, sync_folder, write_atomically

PARTIAL = ".partial"
STATE = ".partial.state"
REJECTED = ".rejected"


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a file as its server gives it.

    Attributes:
        url: The URL without its query.
        etag: The ETag header.
        last_modified: The Last-Modified header.
        length: The bytes of the whole file.
    """

    url: str
    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None

    def difference(self, now: Version) -> str | None:
        """Return how this version differs from the present one; None where it does not."""
        if self.url != now.url:
            return "another address"
        named = (
            ("ETag", self.etag, now.etag),
            ("Last-Modified", self.last_modified, now.last_modified),
            ("length", self.length, now.length),
        )
        for name, before, after in named:
            if before is not None and after is not None and _opaque(before) != _opaque(after):
                return f"another {name}"
        return None

    @property
    def validator(self) -> str | None:
        """The value for If-Range: a strong ETag, else the time of modification."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    @property
    def has_validator(self) -> bool:
        """Whether the server gives an ETag or a time of modification."""
        return self.etag is not None or self.last_modified is not None


def _opaque(value: str | int) -> str | int:
    return value.removeprefix("W/") if isinstance(value, str) else value


class Partial:
    """The bytes of one file that have arrived, in a file beside its target."""

    def __init__(self, target: Path) -> None:
        """Create a handle; nothing is written yet."""
        self.target = target
        self.path = target.with_name(target.name + PARTIAL)
        self._state = target.with_name(target.name + STATE)

    @property
    def size(self) -> int:
        """The number of bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> Version | None:
        """Return the version of the bytes; None where there are no bytes of a known version."""
        try:
            content = json.loads(self._state.read_text(encoding="utf-8"))
            version = Version(**content)
        except (OSError, ValueError, TypeError):
            return None
        texts = (version.url, version.etag, version.last_modified)
        sound = all(text is None or isinstance(text, str) for text in texts)
        sound = sound and (version.length is None or isinstance(version.length, int))
        return version if sound and self.path.is_file() else None

    def begin(self, version: Version) -> None:
        """Remove the bytes and start a new download of this version."""
        self.discard()
        remove_leftovers(self._state.parent, glob.escape(self._state.name))
        write_atomically(self._state, json.dumps(asdict(version), indent=1).encode())
        self.path.touch()

    def open(self) -> BinaryIO:
        """Open the bytes for reading and writing, unbuffered."""
        return self.path.open("r+b", buffering=0)

    def discard(self) -> None:
        """Remove the bytes and their version."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the complete file to its target."""
        self._settle(self.target)

    def reject(self) -> Path:
        """Move the file aside, to a name that ends in `.rejected`; return the path."""
        aside = self.target.with_name(self.target.name + REJECTED)
        self._settle(aside)
        return aside

    def _settle(self, target: Path) -> None:
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        self.path.replace(target)
        self._state.unlink(missing_ok=True)
        sync_folder(target.parent)
