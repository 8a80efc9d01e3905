"""The workspace: finished and half-finished stages, each in a folder named after its fingerprint.

A stage's work is cut into shards. A shard writes its files into a temporary folder, which is flushed to disk
and renamed; when all shards stand, a manifest with row counts and file hashes makes the stage finished. A run
that was killed therefore continues with the shards that are missing, and nothing half-written is ever read. Each
attempt at a shard has a folder of its own: on a cluster a shard is tried again while a lost node may still be at it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmecinstruct.errors import WorkspaceError
from mmecinstruct.executors import Executor
from mmecinstruct.hashing import fingerprint, sha256_file

MANIFEST = "manifest.json"
COUNTS = "counts.json"
REJECTIONS_FILE = "rejections.parquet"
SNAPSHOTS = "snapshots"  # what a build saw of the pictures outside the workspace
VISIBLE_SECONDS = 120  # longer than a network file system remembers by default (60)
_REMOVED = ".removed"  # ending of what is about to be deleted

Report = Callable[[str, int, int], None]  # stage, finished shards, all shards


@dataclass(frozen=True)
class Counts:
    """What a shard did. Every record that came in was kept, rejected or, where a recipe samples, not drawn."""

    records: int
    kept: int
    rejected: int
    extra: Mapping[str, Any] | None = None
    not_drawn: int = 0

    def __post_init__(self) -> None:
        if self.records != self.kept + self.rejected + self.not_drawn:
            raise AssertionError(
                f"rows in ({self.records}) are not rows kept ({self.kept}) + rows rejected ({self.rejected})"
                f" + rows not drawn ({self.not_drawn})"
            )


@dataclass(frozen=True)
class Shard:
    """One piece of a stage's work: a key (its folder's name, sorts in order) and the function's payload."""

    key: str
    payload: Any


@dataclass(frozen=True)
class StageOutput:
    """A finished stage."""

    name: str
    fingerprint: str
    folder: Path
    records: int
    kept: int
    rejected: int
    not_drawn: int
    extra: dict[str, dict[str, Any]]  # per shard key
    cached: bool

    def files(self, name: str) -> list[Path]:
        """Return the files of that name, one per shard that wrote it, in shard order."""
        paths = (self.folder / key / name for key in sorted(self.extra))
        return [path for path in paths if path.is_file()]


@dataclass(frozen=True)
class _ShardWork:
    function: Callable[[Any, Path], Counts]
    payload: Any
    target: str


class Workspace:
    """A folder that keeps stages between builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other builds out while the context lasts; the system frees the lock of a killed build.

        Raises WorkspaceError when another build holds it, or when the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = (self.folder / "lock").open("a+")
        except OSError as error:
            raise WorkspaceError(f"workspace {self.folder} cannot be written: {error.strerror}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    raise WorkspaceError(
                        f"workspace {self.folder} cannot be locked ({error.strerror}); give --workspace a folder "
                        "on a disk that can lock files, such as a local one"
                    ) from error
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise WorkspaceError(
                    f"another build (process {holder}) works in {self.folder}; wait for it or give --workspace"
                ) from None
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def run_stage(
        self,
        name: str,
        version: int,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        shards: Sequence[Shard] | Callable[[], Sequence[Shard]],
        function: Callable[[Any, Path], Counts],
        executor: Executor,
        report: Report | None = None,
    ) -> StageOutput:
        """Return the finished stage, running what is missing of it.

        function(payload, folder) writes its files into the folder and returns its counts; it must be a
        module-level function. `shards` may be a function, called only when there is work to do. The
        fingerprint covers name, version, settings and the fingerprints of the inputs.

        Raises WorkspaceError when the disk is full, a worker was killed or a finished stage's files are damaged.
        """
        identity = {"stage": name, "version": version, "settings": settings, "inputs": inputs}
        mark = fingerprint(identity)
        folder = self.folder / "stages" / name / mark
        try:
            finished = _read_finished(name, mark, folder)
            if finished is not None:
                os.utime(folder / MANIFEST)  # when it was last used, for `mmec clean`
                return finished
            partial = folder.with_name(mark + ".partial")
            partial.mkdir(parents=True, exist_ok=True)
            all_shards = list(shards() if callable(shards) else shards)
            keys = {shard.key for shard in all_shards}
            _remove_leftovers(partial, keys)  # of a killed run: half-written shards, a manifest
            work = [
                _ShardWork(function, shard.payload, str(partial / shard.key))
                for shard in all_shards
                if not (partial / shard.key / COUNTS).is_file()
            ]
            total, done = len(all_shards), len(all_shards) - len(work)
            if report:
                report(name, done, total)
            for _ in executor.run(_run_shard, work):
                done += 1
                if report:
                    report(name, done, total)
            return _finish(name, mark, partial, folder, identity, [shard.key for shard in all_shards])
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise WorkspaceError(
                f"stage {name}: {error.strerror or error}{where}; free space or mend it and run again: "
                "finished shards are kept"
            ) from error

    def file_fingerprints(self, paths: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of each file, remembered by path, size and times of change.

        Raises OSError where a file cannot be read.
        """
        with self._hash_memory() as database:
            return [_remembered_hash(database, path) for path in paths]

    @contextmanager
    def _hash_memory(self) -> Iterator[sqlite3.Connection]:
        """Open the table of known hashes; a damaged one is begun anew, since it only saves time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "file_hashes.sqlite"
        try:
            try:
                database = _open_hashes(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                file.unlink()
                database = _open_hashes(file)
            with closing(database):
                try:
                    yield database
                finally:  # also what was hashed until a Ctrl-C is remembered
                    database.commit()
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"{file}: {error}; free space or delete the file, and run again: it only saves time"
            ) from error

    def clean(self, keep_days: float) -> tuple[int, int]:
        """Remove stages that no build used within `keep_days` days; return (stages removed, bytes freed).

        Killed on the way, it leaves no stage of which a part is missing.
        """
        horizon = time.time() - keep_days * 86_400
        removed = freed = 0
        for folder in sorted((self.folder / "stages").glob("*/*")):
            manifest = folder / MANIFEST
            used = (manifest if manifest.is_file() else folder).stat().st_mtime
            if used < horizon or folder.name.endswith(_REMOVED):
                freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                doomed = folder.with_name(folder.name.removesuffix(_REMOVED) + _REMOVED)
                folder.rename(doomed)
                shutil.rmtree(doomed)
                removed += 1
        for file in sorted((self.folder / SNAPSHOTS).glob("*")):
            if file.stat().st_mtime < horizon:
                freed += file.stat().st_size
                file.unlink()
        return removed, freed


def _open_hashes(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file)
    database.execute(
        "CREATE TABLE IF NOT EXISTS known_files "
        "(path TEXT PRIMARY KEY, size INT, mtime_ns INT, ctime_ns INT, sha256 TEXT)"
    )
    return database


def _remembered_hash(database: sqlite3.Connection, path: Path) -> str:
    status = path.stat()
    # The time of change tells a file that was put in place with another's time of modification.
    key = (os.fsencode(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    row = database.execute(
        "SELECT sha256 FROM known_files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?", key
    ).fetchone()
    if row is not None:
        return str(row[0])
    digest = sha256_file(path)
    # A file written this very moment could change again within the clock's resolution.
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > 2_000_000_000:
        database.execute("INSERT OR REPLACE INTO known_files VALUES (?, ?, ?, ?, ?)", (*key, digest))
    return digest


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Flush everything below a folder to disk."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
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


def _run_shard(work: _ShardWork) -> None:
    target = Path(work.target)
    # Another attempt may run on another host, under the same process id.
    temporary = target.with_name(f".tmp-{target.name}-{secrets.token_hex(8)}")
    temporary.mkdir()
    counts = work.function(work.payload, temporary)
    content = {
        "records": counts.records,
        "kept": counts.kept,
        "rejected": counts.rejected,
        "not_drawn": counts.not_drawn,
        "extra": dict(counts.extra or {}),
    }
    (temporary / COUNTS).write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    sync_tree(temporary)
    try:
        temporary.rename(target)
    except OSError:
        # A worker of a killed build or a lost node, not yet gone, may have finished the same shard: its bytes are
        # the same.
        if not (target / COUNTS).is_file():
            raise
        shutil.rmtree(temporary)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(partial: Path, keys: Collection[str]) -> None:
    """Remove what is no shard of the stage, although a worker that nobody waits for may still write there."""
    for leftover in [path for path in partial.iterdir() if path.name not in keys]:
        if not leftover.is_dir():
            leftover.unlink(missing_ok=True)
            continue
        # Out of the stage first: what such a worker opens from now on, it does not find.
        doomed = partial.with_name(f"{partial.name}-{leftover.name}{_REMOVED}")
        _remove(doomed)
        try:
            leftover.rename(doomed)
        except FileNotFoundError:  # its worker renamed it this moment
            continue
        _remove(doomed)


def _wait_for(file: Path) -> None:
    """Wait until a file is seen that another host wrote: a network file system may remember for a while that it was
    not there.
    """
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not file.is_file() and time.monotonic() < deadline:
        os.scandir(file.parent.parent).close()  # looking into the folder refreshes what is remembered of it
        time.sleep(0.2)


def _finish(
    name: str, mark: str, partial: Path, folder: Path, identity: Mapping[str, Any], keys: Sequence[str]
) -> StageOutput:
    counts = {}
    for key in keys:
        _wait_for(partial / key / COUNTS)
        counts[key] = json.loads((partial / key / COUNTS).read_text(encoding="utf-8"))
    _remove_leftovers(partial, set(keys))  # of attempts that were lost on the way
    files = {}
    for file in sorted(path for key in keys for path in (partial / key).rglob("*") if path.is_file()):
        files[file.relative_to(partial).as_posix()] = {
            "bytes": file.stat().st_size,
            "sha256": sha256_file(file),
        }
    manifest = {
        "identity": identity,
        "records": sum(entry["records"] for entry in counts.values()),
        "kept": sum(entry["kept"] for entry in counts.values()),
        "rejected": sum(entry["rejected"] for entry in counts.values()),
        "not_drawn": sum(entry.get("not_drawn", 0) for entry in counts.values()),
        "extra": {key: entry["extra"] for key, entry in counts.items()},
        "files": files,
    }
    write_atomically(partial / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    if folder.exists():  # without a manifest, or it would have been read
        _remove(folder)
    partial.rename(folder)
    sync_folder(folder.parent)
    output = _read_finished(name, mark, folder)
    assert output is not None
    return StageOutput(**{**output.__dict__, "cached": False})


def _read_finished(name: str, mark: str, folder: Path) -> StageOutput | None:
    """Return a finished stage, or None.

    Raises WorkspaceError where one of its files is missing or has another size.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{folder / MANIFEST} is damaged ({error}); delete {folder}") from error
    try:
        for path, entry in manifest["files"].items():
            file = folder / path
            if not file.is_file() or file.stat().st_size != entry["bytes"]:
                raise WorkspaceError(f"{file} is missing or changed; delete {folder} and run again")
        totals = (manifest["records"], manifest["kept"], manifest["rejected"], manifest.get("not_drawn", 0))
        extra = manifest["extra"]
    except (KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(f"{folder / MANIFEST} is no manifest of a stage; delete {folder}") from error
    return StageOutput(name, mark, folder, *totals, extra, cached=True)
