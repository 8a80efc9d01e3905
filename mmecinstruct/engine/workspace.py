"""The workspace: finished and half-finished stages, each in a folder named after its fingerprint.

A stage's work is cut into work items. An item's files are written into a temporary folder, which is flushed to disk
and renamed. When all items are there, a manifest with row counts and file hashes makes the stage finished. A run that
was killed therefore continues with the missing items, and nothing half-written is ever read. Each attempt at an item
has a folder of its own: a cluster tries an item again while a lost node may still work on it.

Before a stage runs, the hashes of its input files are compared, each file once in a run. A damaged file opens the stage
that wrote it again.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mmecinstruct.core.disk_errors import NOT_WRITABLE, path_problem, remedy
from mmecinstruct.core.errors import SourceError, WorkspaceError
from mmecinstruct.core.file_hashes import remembered_hashes
from mmecinstruct.core.files import sync_folder, sync_tree, write_atomically
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.locks import LockHeld, hold_lock
from mmecinstruct.core.progress import Report
from mmecinstruct.engine.executors import Executor
from mmecinstruct.engine.stage import Stage, StageOutput, WorkItem, files_of
from mmecinstruct.engine.stage_folder import (
    COUNTS,
    MANIFEST,
    REMOVED,
    DamagedOutput,
    hashed_files,
    read_counts,
    read_finished,
    remove,
    reopen,
    sealed,
    wait_for,
)

HASHES = "file_hashes.sqlite"
# The state of images outside the workspace.
SNAPSHOTS = "snapshots"
# Files of up to so many bytes together are hashed in this process, more by the workers.
HASHED_HERE = 100_000_000

_LOCK = "lock"
_STAGE_FOLDER = re.compile(r"[0-9a-f]{32}(\..*)?")
_SNAPSHOT_FILE = re.compile(r"(products-)?[0-9a-f]{32}\.(parquet|arriving)")


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
    """A folder that keeps stages between builds.

    Raises:
        WorkspaceError: No program could use the path.
    """

    def __init__(self, folder: Path) -> None:
        if problem := path_problem(folder):
            raise WorkspaceError(f"workspace {folder}: {problem}")
        self.folder = folder
        self._outputs: dict[Path, StageOutput] = {}
        # Hashes that were taken in this run.
        self._taken: dict[Path, str | None] = {}

    def is_there(self) -> bool:
        """Return whether the folder is a workspace: every command that works in one locks it."""
        return (self.folder / _LOCK).is_file()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other builds out while the context lasts; the system frees the lock of a killed build.

        A workspace that cannot be written is read without a lock.

        Raises:
            WorkspaceError: Another build holds it, or the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(hold_lock(self.folder / _LOCK))
            except LockHeld as error:
                raise WorkspaceError(
                    f"another build ({error}) works in {self.folder}; wait for it or give --workspace"
                ) from None
            except OSError as error:
                if error.errno not in NOT_WRITABLE or not self.is_there():
                    raise WorkspaceError(
                        f"workspace {self.folder} cannot be locked: {error.strerror}; {remedy(error)}, such as a "
                        "folder on a local disk (--workspace)"
                    ) from error
            yield

    def run_stages(
        self, stages: Sequence[Stage], executor: Executor, report: Report | None = None
    ) -> list[StageOutput]:
        """Return finished stages that do not need each other, running their missing work items side by side.

        Raises WorkspaceError when the disk is full or a worker was killed; DamagedOutput where an input is damaged.
        """
        prepared = []
        for one in stages:
            with disk_errors(one.label, self.folder):
                prepared.append(self._prepare(one, executor))
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
        self._outputs |= {output.folder: output for output in outputs}
        return outputs

    def _prepare(self, stage: Stage, executor: Executor) -> _Prepared:
        """Read a finished stage, or make the folder of an unfinished one and find its missing work items."""
        fingerprint = stage.fingerprint()
        folder = self.folder / "stages" / stage.label / fingerprint
        finished = read_finished(stage.label, fingerprint, folder)
        if finished is not None:
            # When it was last used, for `mmec clean`.
            with suppress(OSError):
                os.utime(folder / MANIFEST)
            return _Prepared(stage, fingerprint, folder, finished)
        inputs = list(files_of(stage))
        self.verify([path for files in inputs for path in files.paths if not files.hashes], executor)
        outside = {path: sha256 for files in inputs for path, sha256 in files.hashes.items()}
        self._verify_outside(outside, executor)
        return _unfinished(self.folder, stage, fingerprint, folder)

    def verify(self, paths: Iterable[Path], executor: Executor) -> None:
        """Compare the hashes of files that stages of this run wrote, each once; a folder stands for all files in it.

        Raises:
            DamagedOutput: A file is damaged; its stage is open again.
            WorkspaceError: It is damaged, and its stage cannot be opened again.
        """
        expected: dict[Path, tuple[StageOutput, str]] = {}
        for path in paths:
            output = next((self._outputs[one] for one in (path, *path.parents) if one in self._outputs), None)
            if output is None:
                continue
            inside = path.relative_to(output.folder).as_posix()
            for name in [inside] if inside in output.hashes else output.hashes:
                if inside in (".", name) or name.startswith(f"{inside}/"):
                    expected[output.folder / name] = (output, name)
        damaged = [
            path
            for path, found in self._hashes(list(expected), executor)
            if found != expected[path][0].hashes[expected[path][1]]
        ]
        if damaged:
            self._open_again(*expected[damaged[0]], damaged)

    def _open_again(self, output: StageOutput, name: str, damaged: Sequence[Path]) -> NoReturn:
        """Make a stage unfinished whose files are damaged, and raise DamagedOutput, which names one of them."""
        folder, missing = output.folder, self._taken[output.folder / name] is None
        reopen(
            folder, [path.relative_to(folder).as_posix() for path in damaged if path.is_relative_to(folder)]
        )
        del self._outputs[folder]
        self._taken = {
            path: sha256 for path, sha256 in self._taken.items() if not path.is_relative_to(folder)
        }
        why = "it is not there" if missing else "its SHA-256 is not that of the stage's manifest"
        raise DamagedOutput(output.name, folder / name, folder, why)

    def _hashes(self, paths: Sequence[Path], executor: Executor) -> list[tuple[Path, str | None]]:
        """Return each file with its SHA-256, taken once in a run."""
        missing = [path for path in paths if path not in self._taken]
        if sum(path.stat().st_size for path in missing if path.is_file()) <= HASHED_HERE:
            self._taken |= dict(map(_hash_file, missing))
        else:
            self._taken |= dict(executor.run(_hash_file, missing))
        return [(path, self._taken[path]) for path in paths]

    def _verify_outside(self, expected: dict[Path, str], executor: Executor) -> None:
        """Compare the hashes of files that no stage wrote, where they are remembered from an earlier run.

        Raises:
            SourceError: A file changed, although its size and times did not.
        """
        for path, found in self._hashes(list(expected), executor):
            if found != expected[path]:
                raise SourceError(
                    f"{path}: the content changed, but neither size nor times: the file is damaged; get it again (mmec "
                    "pull), or touch it if it is meant to be so, and run again"
                )

    def file_fingerprints(self, paths: Sequence[Path], threads: int = 1) -> list[str]:
        """Return the SHA-256 of each file, remembered by path, size and times of change.

        Raises OSError where a file cannot be read, WorkspaceError where the memory of hashes cannot be written.
        """
        return remembered_hashes(self.folder / HASHES, paths, threads, self._taken)

    def clean(self, keep_days: float) -> tuple[int, int]:
        """Remove stages that no build used within `keep_days` days; return (stages removed, bytes freed).

        A run that is killed leaves no incomplete stage.
        """
        horizon = time.time() - keep_days * 86_400
        removed = freed = 0
        for folder in sorted((self.folder / "stages").glob("*/*")):
            if not _STAGE_FOLDER.fullmatch(folder.name):
                continue
            manifest = folder / MANIFEST
            used = (manifest if manifest.is_file() else folder).stat().st_mtime
            if used < horizon or folder.name.endswith(REMOVED):
                freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                doomed = folder.with_name(folder.name.removesuffix(REMOVED) + REMOVED)
                folder.rename(doomed)
                shutil.rmtree(doomed)
                removed += 1
        for file in sorted((self.folder / SNAPSHOTS).glob("*")):
            if _SNAPSHOT_FILE.fullmatch(file.name) and file.stat().st_mtime < horizon:
                freed += file.stat().st_size
                file.unlink()
        return removed, freed


@contextmanager
def disk_errors(stage: str, workspace: Path) -> Iterator[None]:
    """Turn an error of the disk or of memory into one that names the stage and the workspace."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise WorkspaceError(
            f"stage {stage}: {error.strerror or error}{where}; {remedy(error)} (workspace {workspace}), and run again: "
            "finished work items are kept"
        ) from error
    except MemoryError as error:
        raise WorkspaceError(
            f"stage {stage}: memory does not suffice; give fewer --workers or close other programs, and run again: "
            "finished work items are kept"
        ) from error


def _hash_file(path: Path) -> tuple[Path, str | None]:
    """Return a file with its SHA-256, or None where it is not there."""
    try:
        return path, sha256_file(path)
    except FileNotFoundError:
        return path, None


def _unfinished(workspace: Path, stage: Stage, fingerprint: str, folder: Path) -> _Prepared:
    partial = folder.with_name(fingerprint + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    items = list(stage.items())
    keys = tuple(item.key for item in items)
    # Leftovers of a killed run: incomplete items, a manifest.
    _remove_leftovers(partial, set(keys))
    work = tuple(
        _ItemWork(stage, item, str(partial / item.key), str(workspace))
        for item in items
        if not _is_whole(partial / item.key)
    )
    for one in work:
        remove(Path(one.target))
    return _Prepared(stage, fingerprint, folder, None, keys, work)


def _is_whole(item: Path) -> bool:
    """Return whether a work item is finished and has its files, by their sizes."""
    counts = read_counts(item)
    if counts is None:
        return False
    files = {item / path: entry["bytes"] for path, entry in counts.get("files", {}).items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in files.items())


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
        "files": hashed_files(temporary),
    }
    (temporary / COUNTS).write_bytes(sealed(content))
    sync_tree(temporary)
    try:
        temporary.rename(target)
    except OSError:
        # A worker of a killed build or a lost node, not yet gone, may have finished the same item: its bytes are
        # the same.
        if read_counts(target) is None:
            raise
        shutil.rmtree(temporary)
    return work.target


def _remove_leftovers(partial: Path, keys: Collection[str]) -> None:
    """Remove folders that are no work item of the stage; a worker that nobody waits for may still write there."""
    for leftover in [path for path in partial.iterdir() if path.name not in keys]:
        if not leftover.is_dir():
            leftover.unlink(missing_ok=True)
            continue
        # Moved out of the stage first: such a worker does not find files that it opens from now on.
        doomed = partial.with_name(f"{partial.name}-{leftover.name}{REMOVED}")
        shutil.rmtree(doomed, ignore_errors=True)
        try:
            leftover.rename(doomed)
        except FileNotFoundError:  # its worker renamed it this moment
            continue
        shutil.rmtree(doomed, ignore_errors=True)


def _finish(stage: _Prepared) -> StageOutput:
    partial, folder, keys = stage.partial, stage.folder, stage.keys
    counts = {}
    for key in keys:
        wait_for(partial / key / COUNTS)
        found = read_counts(partial / key)
        if found is None:
            raise OSError(errno.EIO, "damaged", str(partial / key / COUNTS))
        counts[key] = found
    _remove_leftovers(partial, set(keys))  # of attempts that were lost on the way
    files = {
        f"{key}/{path}": entry
        for key in keys
        for path, entry in (counts[key].get("files") or hashed_files(partial / key)).items()
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
    write_atomically(partial / MANIFEST, sealed(manifest, indent=1))
    # The folder has no manifest, otherwise it would have been read.
    remove(folder)
    partial.rename(folder)
    sync_folder(folder.parent)
    output = read_finished(stage.name, stage.fingerprint, folder)
    if output is None:
        raise OSError(errno.EIO, "a file vanished while the stage was finished", str(folder))
    return StageOutput(**{**output.__dict__, "cached": False})
