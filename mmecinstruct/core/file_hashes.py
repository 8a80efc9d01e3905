"""Hash files outside the workspace, with a cache by path, size and times of change: each is read once."""

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

# A file written just now could change again within the clock's resolution, so its hash is not cached.
_SETTLED_NS = 2_000_000_000


def remembered_hashes(
    memory: Path, paths: Sequence[Path], threads: int = 1, read: dict[Path, str | None] | None = None
) -> list[str]:
    """Return the SHA-256 of each file; only files that are not in the cache are read.

    A cache that cannot be written is read nevertheless.

    Args:
        memory: The SQLite file of the cache. A damaged one is replaced, since it only saves time.
        paths: The files.
        threads: Files that are read at once.
        read: Gets the hashes of the files that were read now.

    Raises:
        OSError: A file cannot be read.
        WorkspaceError: The cache cannot be written.
    """
    memory.parent.mkdir(parents=True, exist_ok=True)
    writable = os.access(memory.parent if not memory.exists() else memory, os.W_OK)
    with _open_memory(memory, writable) as database, ThreadPoolExecutor(max(1, threads)) as pool:
        keys = [_key(path) for path in paths]
        known = [_look_up(database, key) for key in keys]
        unknown = [position for position, digest in enumerate(known) if digest is None]
        # Hashing releases the interpreter lock, so threads read and hash in parallel.
        digests = pool.map(lambda position: sha256_file(paths[position]), unknown)
        for position, digest in zip(unknown, digests, strict=True):
            known[position] = digest
            if read is not None:
                read[paths[position]] = digest
            if writable and time.time_ns() - max(keys[position][2:]) > _SETTLED_NS:
                database.execute(
                    "INSERT OR REPLACE INTO known_files VALUES (?, ?, ?, ?, ?)", (*keys[position], digest)
                )
                # Each hash is kept if the next large file is interrupted.
                database.commit()
        return [str(digest) for digest in known]


def _key(path: Path) -> _Key:
    status = path.stat()
    # ctime reveals a file that was replaced by one with the same mtime.
    return os.fsencode(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _look_up(database: sqlite3.Connection, key: _Key) -> str | None:
    row = database.execute(
        "SELECT sha256 FROM known_files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?", key
    ).fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _open_memory(file: Path, writable: bool) -> Iterator[sqlite3.Connection]:
    try:
        if not writable:
            with closing(_open_to_read(file)) as database:
                yield database
            return
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


def _open_to_read(file: Path) -> sqlite3.Connection:
    """Return a cache that is only read: nothing is written beside it either; an empty one where there is none."""
    if not file.is_file():
        return _open(Path(":memory:"))
    return sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file)
    database.execute(
        "CREATE TABLE IF NOT EXISTS known_files "
        "(path TEXT PRIMARY KEY, size INT, mtime_ns INT, ctime_ns INT, sha256 TEXT)"
    )
    return database
