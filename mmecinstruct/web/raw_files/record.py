"""The record of a raw folder's files, and the lock that keeps two pulls out of one folder.

A file counts as unchanged while its size and modification time are; it is then neither read nor requested. The record
only saves time: without it, existing files are checked and recorded again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mmecinstruct.core.errors import PullError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import sha256_file

RECORD = ".mmec-pull.json"
LOCK = ".mmec-pull.lock"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded file.

    Attributes:
        url: The URL that it came from, without its query; empty for a file that was found in the folder.
        size: Bytes.
        mtime_ns: The modification time in nanoseconds.
        sha256: The hexadecimal digest; None for a found file without a stated one.
    """

    url: str
    size: int
    mtime_ns: int
    sha256: str | None


class Record:
    """The recorded files of a raw folder, by origin."""

    def __init__(self, folder: Path) -> None:
        """Read the record of a folder, if there is one."""
        self._file = folder / RECORD
        self._folder = folder
        self._entries = _read(self._file)

    def present(self, origin: str, sha256: str | None = None) -> Entry | None:
        """Return the entry of an unchanged file; None for any other.

        Args:
            origin: The file's path below the folder.
            sha256: The digest that the file must have, where known.
        """
        entry = self._entries.get(origin)
        if entry is None:
            return None
        try:
            status = (self._folder / origin).stat()
        except OSError:
            return None
        if (status.st_size, status.st_mtime_ns) != (entry.size, entry.mtime_ns):
            return None
        return entry if sha256 is None or entry.sha256 == sha256.lower() else None

    def put(self, origin: str, url: str, sha256: str | None) -> Entry:
        """Record a file as it is now, and save the record.

        Args:
            origin: The file's path below the folder.
            url: The URL that it came from, or "".
            sha256: Its digest, where known.

        Raises:
            OSError: The file cannot be read or the record cannot be written.
        """
        status = (self._folder / origin).stat()
        entry = Entry(url, status.st_size, status.st_mtime_ns, sha256)
        self._entries[origin] = entry
        files = {name: asdict(self._entries[name]) for name in sorted(self._entries)}
        write_atomically(self._file, json.dumps({"format": _FORMAT, "files": files}, indent=1).encode())
        return entry


def found_hash(path: Path, wanted: str | None) -> str | None:
    """Return the SHA-256 of a found file where there is a wanted one to compare with, else None.

    Raises:
        OSError: The file cannot be read.
    """
    return sha256_file(path) if wanted is not None else None


def _read(file: Path) -> dict[str, Entry]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return {}
        return {origin: Entry(**entry) for origin, entry in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a raw folder and keep other pulls out of it; the system releases the lock of a killed process.

    Raises:
        PullError: Another pull holds the lock, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a+")
    except OSError as error:
        raise PullError(
            f"data={folder}: cannot be written ({error.strerror}); give another folder"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise PullError(
                f"another pull (process {holder}) works in {folder}; wait for it or give --data"
            ) from None
        except OSError as error:
            raise PullError(
                f"data={folder}: cannot be locked ({error.strerror}); give a folder on a disk that can lock files"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
