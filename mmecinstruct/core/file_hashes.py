"""Hashes of files outside the workspace, remembered by path, size and times of change: large ones are read once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.hashing import sha256_file

_Key = tuple[bytes, int, int, int]

# A file written this very moment could change again within the clock's resolution.
_SETTLED_NS = 2_000_000_000


def remembered_hashes(memory: Path, paths: Sequence[Path], threads: int = 1) -> list[str]:
    """Return the SHA-256 of each file; those that are not remembered are read, several at once.

    memory: the SQLite file of known hashes, begun anew where it is damaged: it only saves time.

    Raises OSError where a file cannot be read, WorkspaceError where the memory cannot be written.
    """
    with _open_memory(memory) as database, ThreadPoolExecutor(max(1, threads)) as pool:
        keys = [_key(path) for path in paths]
        known = [_look_up(database, key) for key in keys]
        unknown = [place for place, digest in enumerate(known) if digest is None]
        # Hashing frees the interpreter, so threads read and hash beside each other.
        digests = pool.map(lambda place: sha256_file(paths[place]), unknown)
        for place, digest in zip(unknown, digests, strict=True):
            known[place] = digest
            if time.time_ns() - max(keys[place][2:]) > _SETTLED_NS:
                database.execute(
                    "INSERT OR REPLACE INTO known_files VALUES (?, ?, ?, ?, ?)", (*keys[place], digest)
                )
                database.commit()  # a kill during the next large file does not cost this one
        return [str(digest) for digest in known]


def _key(path: Path) -> _Key:
    status = path.stat()
    # The time of change tells a file that was put in place with another's time of modification.
    return os.fsencode(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _look_up(database: sqlite3.Connection, key: _Key) -> str | None:
    row = database.execute(
        "SELECT sha256 FROM known_files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?", key
    ).fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _open_memory(file: Path) -> Iterator[sqlite3.Connection]:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            database = _open(file)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            file.unlink()
            database = _open(file)
        with closing(database):
            yield database
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"{file}: {error}; free space or delete the file, and run again: it only saves time"
        ) from error


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file)
    database.execute(
        "CREATE TABLE IF NOT EXISTS known_files "
        "(path TEXT PRIMARY KEY, size INT, mtime_ns INT, ctime_ns INT, sha256 TEXT)"
    )
    return database
