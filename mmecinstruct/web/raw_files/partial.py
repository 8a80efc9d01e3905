"""A file that is arriving: what has come so far, and of which version of the file it is.

`a.gz` arrives in `a.gz.partial`; `a.gz.partial.state` says what the server called it. The bytes are written without a
buffer, so a killed process leaves all it has received. Bytes are only ever appended, and on the common file systems a
power cut shortens such a file but leaves nothing foreign in it. Where the version changes, the bytes are removed
before the new name is written: at no moment could one version's bytes pass for another's.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from mmecinstruct.core.files import sync_folder, write_atomically

PARTIAL = ".partial"
STATE = ".partial.state"
REJECTED = ".rejected"


@dataclass(frozen=True, slots=True)
class Version:
    """What a server says of a file. url: without its query. length: bytes of the whole."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None

    def difference(self, now: Version) -> str | None:
        """Name what tells this version from the present one; None where nothing does."""
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
        """What If-Range can hold: a strong ETag, else the time of modification."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    @property
    def marked(self) -> bool:
        """Whether the server names the version at all."""
        return self.etag is not None or self.last_modified is not None


def _opaque(value: str | int) -> str | int:
    return value.removeprefix("W/") if isinstance(value, str) else value


class Partial:
    """The bytes of one file that have arrived, beside the file's place."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + PARTIAL)
        self._state = target.with_name(target.name + STATE)

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> Version | None:
        """Return the version that the bytes are of; None where there are no bytes of a known version."""
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
        """Forget what has arrived; what arrives from now on is of this version."""
        self.discard()
        write_atomically(self._state, json.dumps(asdict(version), indent=1).encode())
        self.path.touch()

    def open(self) -> BinaryIO:
        """Return the bytes for reading and writing, unbuffered."""
        return self.path.open("r+b", buffering=0)

    def discard(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def finish(self) -> None:
        """Put the whole file in its place."""
        self._settle(self.target)

    def reject(self) -> Path:
        """Put the file aside, and return where."""
        aside = self.target.with_name(self.target.name + REJECTED)
        self._settle(aside)
        return aside

    def _settle(self, place: Path) -> None:
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        self.path.replace(place)
        self._state.unlink(missing_ok=True)
        sync_folder(place.parent)
