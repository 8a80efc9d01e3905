"""The workspace: finished and half-finished stages, each in a folder named after its fingerprint.

A stage's work is cut into work items. An item's files are written into a temporary folder, which is flushed to disk
and renamed. When all items are there, a manifest with row counts and file hashes makes the stage finished. A run that
was killed therefore continues with the missing items, and nothing half-written is ever read. Each attempt at an item
has a folder of its own: a cluster tries an item again while a lost node may still work on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.file_hashes import remembered_hashes
from mmecinstruct.core.files import sync_folder, sync_tree, write_atomically
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.engine.stage import Stage, StageOutput, WorkItem

MANIFEST = "manifest.json"
COUNTS = "counts.json"
HASHES = "file_hashes.sqlite"
# The state of images outside the workspace.
SNAPSHOTS = "snapshots"
# Longer than a network file system remembers by default (60).
VISIBLE_SECONDS = 120
# Ending of folders that are about to be deleted.
_REMOVED = ".removed"


@dataclass(frozen=True)
class _ItemWork:
    """A work item of a stage as a worker gets it, with the folder for its files."""

    stage: Stage
    item: WorkItem
    target: str
    workspace: str


@dataclass(frozen=True)
class _Prepared:
    """A stage whose missing work items are known, or that is finished."""

    stage: Stage
    fingerprint: str
    folder: Path
    finished: StageOutput | None
    keys: tuple[str, ...] = ()
    work: tuple[_ItemWork, ...] = ()

    @property
    def name(self) -> str:
        """The stage's label."""
        return self.stage.label

    @property
    def partial(self) -> Path:
        """The folder that collects its work items."""
        return self.folder.with_name(self.fingerprint + ".partial")

    @property
    def total(self) -> int:
        """The number of its work items."""
        return len(self.keys)


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

    def run_stages(
        self, stages: Sequence[Stage], executor: Executor, report: Report | None = None
    ) -> list[StageOutput]:
        """Return finished stages that do not need each other, running their missing work items side by side.

        Raises WorkspaceError when the disk is full, a worker was killed or a finished stage's files are damaged.
        """
        prepared = []
        for one in stages:
            with disk_errors(one.label, self.folder):
                prepared.append(_prepare(self.folder, one))
        missing = [stage for stage in prepared if stage.finished is None]
        of_target = {work.target: stage for stage in missing for work in stage.work}
        done = {stage.name: stage.total - len(stage.work) for stage in missing}
        if report:
            for stage in missing:
                report(stage.name, done[stage.name], stage.total)
        # Equally heavy items keep their order: sorting is stable.
        heaviest = sorted(
            (work for stage in missing for work in stage.work), key=lambda work: -work.item.weight
        )
        # An item's own errors name its stage; what else goes wrong here are workers that cannot be started.
        with disk_errors(", ".join(stage.name for stage in missing), self.folder):
            for target in executor.run(_run_item, heaviest):
                stage = of_target[target]
                done[stage.name] += 1
                if report:
                    report(stage.name, done[stage.name], stage.total)
        outputs = []
        for stage in prepared:
            with disk_errors(stage.name, self.folder):
                outputs.append(stage.finished or _finish(stage))
        return outputs

    def file_fingerprints(self, paths: Sequence[Path], threads: int = 1) -> list[str]:
        """Return the SHA-256 of each file, remembered by path, size and times of change.

        Raises OSError where a file cannot be read, WorkspaceError where the memory of hashes cannot be written.
        """
        return remembered_hashes(self.folder / HASHES, paths, threads)

    def clean(self, keep_days: float) -> tuple[int, int]:
        """Remove stages that no build used within `keep_days` days; return (stages removed, bytes freed).

        A run that is killed leaves no incomplete stage.
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


@contextmanager
def disk_errors(stage: str, workspace: Path) -> Iterator[None]:
    """Turn an error of the disk into one that names the stage and the workspace."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise WorkspaceError(
            f"stage {stage}: {error.strerror or error}{where}; free space on the disk of the workspace {workspace}, or "
            "mend it, and run again: finished work items are kept"
        ) from error


def _prepare(workspace: Path, stage: Stage) -> _Prepared:
    """Read a finished stage, or make the folder of an unfinished one and find its missing work items."""
    fingerprint = stage.fingerprint()
    folder = workspace / "stages" / stage.label / fingerprint
    finished = _read_finished(stage.label, fingerprint, folder)
    if finished is not None:
        os.utime(folder / MANIFEST)  # when it was last used, for `mmec clean`
        return _Prepared(stage, fingerprint, folder, finished)
    partial = folder.with_name(fingerprint + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    items = list(stage.items())
    keys = tuple(item.key for item in items)
    # Leftovers of a killed run: incomplete items, a manifest.
    _remove_leftovers(partial, set(keys))
    work = tuple(
        _ItemWork(stage, item, str(partial / item.key), str(workspace))
        for item in items
        if not (partial / item.key / COUNTS).is_file()
    )
    return _Prepared(stage, fingerprint, folder, None, keys, work)


def _run_item(work: _ItemWork) -> str:
    """Run one work item and return its target. The worker hashes its files while they are still in memory."""
    with disk_errors(work.stage.label, Path(work.workspace)):
        return _write_item(work)


def _write_item(work: _ItemWork) -> str:
    target = Path(work.target)
    # Another attempt may run on another host, under the same process id.
    temporary = target.with_name(f".tmp-{target.name}-{secrets.token_hex(8)}")
    temporary.mkdir()
    counts = work.stage.work(work.item, temporary)
    content = {
        "records": counts.records,
        "kept": counts.kept,
        "rejected": counts.rejected,
        "not_sampled": counts.not_sampled,
        "extra": dict(counts.extra or {}),
        "files": _hashed_files(temporary),
    }
    (temporary / COUNTS).write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    sync_tree(temporary)
    try:
        temporary.rename(target)
    except OSError:
        # A worker of a killed build or a lost node, not yet gone, may have finished the same item: its bytes are
        # the same.
        if not (target / COUNTS).is_file():
            raise
        shutil.rmtree(temporary)
    return work.target


def _hashed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the size and hash of each file of a work item, by its path in the item's folder."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != COUNTS
    }


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(partial: Path, keys: Collection[str]) -> None:
    """Remove folders that are no work item of the stage; a worker that nobody waits for may still write there."""
    for leftover in [path for path in partial.iterdir() if path.name not in keys]:
        if not leftover.is_dir():
            leftover.unlink(missing_ok=True)
            continue
        # Moved out of the stage first: such a worker does not find files that it opens from now on.
        doomed = partial.with_name(f"{partial.name}-{leftover.name}{_REMOVED}")
        _remove(doomed)
        try:
            leftover.rename(doomed)
        except FileNotFoundError:  # its worker renamed it this moment
            continue
        _remove(doomed)


def _wait_for(file: Path) -> None:
    """Wait until a file that another host wrote is visible.

    A network file system may remember for a while that it was not there.
    """
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not file.is_file() and time.monotonic() < deadline:
        # Reading the folder refreshes the cache of a network file system.
        os.scandir(file.parent.parent).close()
        time.sleep(0.2)


def _finish(stage: _Prepared) -> StageOutput:
    partial, folder, keys = stage.partial, stage.folder, stage.keys
    counts = {}
    for key in keys:
        _wait_for(partial / key / COUNTS)
        counts[key] = json.loads((partial / key / COUNTS).read_text(encoding="utf-8"))
    _remove_leftovers(partial, set(keys))  # of attempts that were lost on the way
    files = {
        f"{key}/{path}": entry
        for key in keys
        for path, entry in (counts[key].get("files") or _hashed_files(partial / key)).items()
    }
    manifest = {
        "fingerprint_of": stage.stage.fingerprint_content(),
        "records": sum(entry["records"] for entry in counts.values()),
        "kept": sum(entry["kept"] for entry in counts.values()),
        "rejected": sum(entry["rejected"] for entry in counts.values()),
        "not_sampled": sum(entry.get("not_sampled", 0) for entry in counts.values()),
        "extra": {key: entry["extra"] for key, entry in counts.items()},
        "files": dict(sorted(files.items())),
    }
    write_atomically(partial / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    # The folder has no manifest, otherwise it would have been read.
    if folder.exists():
        _remove(folder)
    partial.rename(folder)
    sync_folder(folder.parent)
    output = _read_finished(stage.name, stage.fingerprint, folder)
    assert output is not None
    return StageOutput(**{**output.__dict__, "cached": False})


def _read_finished(name: str, fingerprint: str, folder: Path) -> StageOutput | None:
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
        totals = (manifest["records"], manifest["kept"], manifest["rejected"], manifest["not_sampled"])
        extra = manifest["extra"]
    except (KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(f"{folder / MANIFEST} is no manifest of a stage; delete {folder}") from error
    return StageOutput(name, fingerprint, folder, *totals, extra, cached=True)
