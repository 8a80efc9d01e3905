"""Stages: fingerprinted, resumable, accounted for, locked."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.stage import RUNTIME, Counts, Stage, StageOutput, WorkItem
from mmecinstruct.engine.workspace import Workspace


def write_number(payload: tuple[int, str], folder: Path) -> Counts:
    number, log = payload
    with Path(log).open("a") as stream:
        stream.write(f"{number}\n")
    (folder / "number.txt").write_text(str(number))
    return Counts(2, 1, 1, {"number": number})


def fail_on_two(payload: tuple[int, str], folder: Path) -> Counts:
    if payload[0] == 2 and not Path(payload[1]).with_suffix(".mended").exists():
        raise ValueError("two")
    return write_number(payload, folder)


def die_on_two(payload: tuple[int, str], folder: Path) -> Counts:
    if payload[0] == 2:
        os._exit(9)
    return write_number(payload, folder)


def fill_the_disk(payload: tuple[int, str], folder: Path) -> Counts:
    raise OSError(28, "No space left on device", "x.parquet")


@dataclass(frozen=True, kw_only=True)
class Numbers(Stage):
    """Call a function with (number, log) for each number. weights: of the work items."""

    name = "stage"
    version = 1

    suffix: str = ""
    setting: int = 1
    first: int = 0
    weights: tuple[int, ...] = (0,) * 5
    log: Path = field(metadata=RUNTIME)
    function: Callable[[tuple[int, str], Path], Counts] = field(default=write_number, metadata=RUNTIME)

    @property
    def label(self) -> str:
        return self.name + self.suffix

    def items(self) -> Sequence[WorkItem]:
        return [
            WorkItem(f"{position:03d}", self.first + position, weight)
            for position, weight in enumerate(self.weights)
        ]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        return self.function((item.payload, str(self.log)), folder)


class ChangedNumbers(Numbers):
    version = 2


def run(
    folder: Path,
    log: Path,
    function=write_number,
    *,
    kind: type[Numbers] = Numbers,
    setting: int = 1,
    workers: int = 1,
) -> StageOutput:
    with LocalExecutor(workers) as executor:
        stage = kind(setting=setting, log=log, function=function)
        return Workspace(folder).run_stages([stage], executor)[0]


def finish_in_the_rival_first(payload: tuple[int, str], folder: Path) -> Counts:
    """Write the item, and let another worker have written and renamed it in the meantime."""
    counts = write_number(payload, folder)
    rival = folder.with_name(f"{payload[0]:03d}")
    rival.mkdir()
    (rival / "number.txt").write_text(str(payload[0]))
    (rival / "counts.json").write_text('{"records": 2, "kept": 1, "rejected": 1, "extra": {}}')
    return counts


def sleep_long(payload: tuple[int, str], folder: Path) -> Counts:
    if payload[0] == 0:
        raise ValueError("zero")
    time.sleep(60)
    return write_number(payload, folder)


def calls(log: Path) -> list[int]:
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, second = run(tmp_path / "w", log), run(tmp_path / "w", log)
    assert (first.cached, second.cached) == (False, True)
    assert calls(log) == [0, 1, 2, 3, 4]
    assert (second.records, second.kept, second.rejected) == (10, 5, 5)
    assert second.extra["003"] == {"number": 3}
    assert [path.read_text() for path in second.files("number.txt")] == ["0", "1", "2", "3", "4"]


def test_a_changed_setting_or_version_runs_again_beside_the_old_output(tmp_path: Path) -> None:
    fingerprints = {
        run(tmp_path / "w", tmp_path / "log", setting=setting, kind=kind).fingerprint
        for setting, kind in ((1, Numbers), (2, Numbers), (1, ChangedNumbers))
    }
    assert len(fingerprints) == 3


def test_after_a_failure_only_missing_items_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ValueError, match="two"):
        run(tmp_path / "w", log, fail_on_two)
    assert calls(log) == [0, 1]
    log.with_suffix(".mended").touch()
    run(tmp_path / "w", log, fail_on_two)
    assert calls(log) == [0, 1, 2, 3, 4]


def test_a_killed_worker_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="run the same command again"):
        run(tmp_path / "w", tmp_path / "log", die_on_two, workers=2)


def test_a_failure_ends_the_other_workers_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match="zero"):
        run(tmp_path / "w", tmp_path / "log", sleep_long, workers=2)
    assert time.monotonic() - begun < 30


def test_a_run_killed_between_its_manifest_and_its_last_rename_is_finished(tmp_path: Path) -> None:
    first = run(tmp_path / "w", tmp_path / "log")
    manifest = (first.folder / "manifest.json").read_bytes()
    partial = first.folder.rename(first.folder.with_name(first.folder.name + ".partial"))
    (partial / ".manifest.json.123.tmp").write_text("{")
    (partial / ".tmp-003-123").mkdir()
    (partial / ".tmp-003-123" / "number.txt").write_text("half")
    second = run(tmp_path / "w", tmp_path / "log")
    assert not second.cached
    assert calls(tmp_path / "log") == [0, 1, 2, 3, 4]
    assert (second.folder / "manifest.json").read_bytes() == manifest
    assert run(tmp_path / "w", tmp_path / "log").cached
    assert len(second.files("number.txt")) == 5


def test_an_item_that_a_dying_worker_finished_too_is_kept(tmp_path: Path) -> None:
    output = run(tmp_path / "w", tmp_path / "log", finish_in_the_rival_first)
    assert [path.read_text() for path in output.files("number.txt")] == ["0", "1", "2", "3", "4"]
    assert not list(output.folder.glob(".tmp-*"))


def leave_a_lost_attempt(payload: tuple[int, str], folder: Path) -> Counts:
    """Write the item, beside what another attempt at it left half-written."""
    Path(payload[1]).with_name(f"attempt-{folder.name}").touch()
    lost = folder.with_name(f"{folder.name[:9]}other")
    lost.mkdir()
    (lost / "number.txt").write_text("half")
    return write_number(payload, folder)


def test_files_of_a_lost_attempt_are_no_part_of_the_stage(tmp_path: Path) -> None:
    output = run(tmp_path / "w", tmp_path / "log", leave_a_lost_attempt)
    names = sorted(path.name for path in output.folder.iterdir())
    assert names == ["000", "001", "002", "003", "004", "manifest.json"]
    assert [path.name for path in output.folder.parent.iterdir()] == [output.folder.name]


def test_each_attempt_at_an_item_has_its_own_folder(tmp_path: Path) -> None:
    for workspace in ("one", "two"):  # in one process, so the process id tells nothing
        run(tmp_path / workspace, tmp_path / "log", leave_a_lost_attempt)
    assert len(list(tmp_path.glob("attempt-*"))) == 10


out_of_sight = threading.Event()


def hide_an_item_for_a_while(payload: tuple[int, str], folder: Path) -> Counts:
    """Write the item; a file of another host may be visible here only a little later."""
    if payload[0] == 4:
        target, aside = folder.with_name("004"), folder.parent.with_name("aside")

        def show() -> None:
            while not target.exists():
                time.sleep(0.01)
            target.rename(aside)
            out_of_sight.set()
            time.sleep(1)
            aside.rename(target)

        threading.Thread(target=show).start()
    return write_number(payload, folder)


class PatientExecutor(LocalExecutor):
    """Ends its run only when the last item is no longer visible."""

    def run(self, function, payloads):
        yield from super().run(function, payloads)
        assert out_of_sight.wait(30)


def test_an_item_that_is_visible_late_is_waited_for(tmp_path: Path) -> None:
    stage = Numbers(log=tmp_path / "log", function=hide_an_item_for_a_while)
    with PatientExecutor() as executor:
        (output,) = Workspace(tmp_path / "w").run_stages([stage], executor)
    assert [path.read_text() for path in output.files("number.txt")] == ["0", "1", "2", "3", "4"]


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"No space left on device \(x.parquet\); free space"):
        run(tmp_path / "w", tmp_path / "log", fill_the_disk)


def lack_memory(payload: tuple[int, str], folder: Path) -> Counts:
    raise MemoryError


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lack_of_memory_is_an_error_with_a_remedy(tmp_path: Path, workers: int) -> None:
    with pytest.raises(WorkspaceError, match="stage stage: memory does not suffice; give fewer --workers"):
        run(tmp_path / "w", tmp_path / "log", lack_memory, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_of_stages_side_by_side_the_one_that_fails_is_named(tmp_path: Path, workers: int) -> None:
    workspace = tmp_path / "w"
    stages = [planned("1", tmp_path / "log", [5, 5]), planned("2", tmp_path / "log", [5])]
    stages.insert(1, replace(planned("3", tmp_path / "log", [1]), suffix="-full", function=fill_the_disk))
    with (
        LocalExecutor(workers) as executor,
        pytest.raises(WorkspaceError) as error,
    ):
        Workspace(workspace).run_stages(stages, executor)
    assert str(error.value) == (
        f"stage stage-full: No space left on device (x.parquet); free space there (workspace {workspace}), and run "
        "again: finished work items are kept"
    )


def test_two_workers_write_the_same_files(tmp_path: Path) -> None:
    manifests = [
        (
            run(tmp_path / str(workers), tmp_path / "log", workers=workers).folder / "manifest.json"
        ).read_bytes()
        for workers in (1, 2)
    ]
    assert manifests[0] == manifests[1]


def test_counts_must_add_up() -> None:
    with pytest.raises(AssertionError, match=r"rows in \(3\)"):
        Counts(3, 1, 1)


def test_a_second_build_at_the_same_time_is_an_error(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from mmecinstruct.engine.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(WorkspaceError, match=f"process {other.pid}"), workspace.lock():
        pass
    other.kill()
    other.wait()
    with workspace.lock():
        pass


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ten seconds pass: what was written this moment is not remembered."""
    now = time.time_ns
    monkeypatch.setattr("mmecinstruct.engine.workspace.time.time_ns", lambda: now() + 10_000_000_000)


@pytest.mark.usefixtures("later")
def test_file_hashes_follow_the_content(tmp_path: Path) -> None:
    workspace, file = Workspace(tmp_path / "w"), tmp_path / "f"
    file.write_text("one")
    os.utime(file, (time.time() - 60, time.time() - 60))
    first = workspace.file_fingerprints([file])
    assert workspace.file_fingerprints([file]) == first
    file.write_text("two")
    os.utime(file, (time.time() - 60, time.time() - 60))
    assert workspace.file_fingerprints([file]) != first


@pytest.mark.usefixtures("later")
def test_a_known_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, file = Workspace(tmp_path / "w"), tmp_path / "f"
    file.write_text("one")
    first = workspace.file_fingerprints([file])
    monkeypatch.setattr(
        "mmecinstruct.core.file_hashes.sha256_file", lambda path: pytest.fail(f"{path} was read")
    )
    assert workspace.file_fingerprints([file]) == first


@pytest.mark.usefixtures("later")
def test_a_hash_is_remembered_as_soon_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while the next large file is being read does not cost it."""
    workspace, files = Workspace(tmp_path / "w"), [tmp_path / "f", tmp_path / "g"]
    for file in files:
        file.write_text(file.name)
    known_meanwhile = []

    def read_slowly(path: Path) -> str:
        until = time.monotonic() + 5
        while path == files[1] and not known_meanwhile and time.monotonic() < until:
            with closing(sqlite3.connect(tmp_path / "w" / "file_hashes.sqlite")) as memory:
                known_meanwhile.extend(memory.execute("SELECT sha256 FROM known_files").fetchall())
            time.sleep(0.01)
        return sha256_file(path)

    monkeypatch.setattr("mmecinstruct.core.file_hashes.sha256_file", read_slowly)
    workspace.file_fingerprints(files)
    assert known_meanwhile == [(sha256_file(files[0]),)]


@pytest.mark.usefixtures("later")
def test_a_replaced_file_of_equal_size_and_time_is_hashed_again(tmp_path: Path) -> None:
    workspace, file, other = Workspace(tmp_path / "w"), tmp_path / "f", tmp_path / "g"
    file.write_text("one")
    other.write_text("two")
    for path in (file, other):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert workspace.file_fingerprints([file]) == [sha256_file(file)]
    expected = workspace.file_fingerprints([other])
    other.replace(file)
    assert workspace.file_fingerprints([file]) == expected


def test_a_damaged_memory_of_hashes_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "file_hashes.sqlite").write_bytes(b"no database" * 500)
    workspace = Workspace(tmp_path / "w")
    assert workspace.file_fingerprints([tmp_path / "f"])[0] == sha256_file(tmp_path / "f")
    (tmp_path / "w" / "file_hashes.sqlite").unlink()
    (tmp_path / "w" / "file_hashes.sqlite").mkdir()
    with pytest.raises(WorkspaceError, match="free space or delete the file"):
        workspace.file_fingerprints([tmp_path / "f"])


def test_hashes_of_many_files_come_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(40)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * (40 - number) * 10_000)
    hashes = [sha256_file(file) for file in files]
    assert Workspace(tmp_path / "w").file_fingerprints(files, threads=4) == hashes
    assert Workspace(tmp_path / "w").file_fingerprints(files[::-1], threads=4) == hashes[::-1]


def planned(number: str, log: Path, weights: list[int]) -> Numbers:
    """A stage whose numbers start with its own."""
    return Numbers(suffix=f"-{number}", first=10 * int(number), weights=tuple(weights), log=log)


def test_stages_run_side_by_side_the_heaviest_items_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stages = [planned("1", log, [5, 50, 5]), planned("2", log, [70, 1]), planned("3", log, [])]
    reported: list[tuple[str, int, int]] = []
    with LocalExecutor() as executor:
        outputs = Workspace(tmp_path / "w").run_stages(
            stages, executor, lambda *progress: reported.append(progress)
        )
        assert log.read_text().split() == ["20", "11", "10", "12", "21"]
        assert [output.name for output in outputs] == ["stage-1", "stage-2", "stage-3"]
        assert [output.extra for output in outputs] == [
            {f"{n:03d}": {"number": 10 + n} for n in range(3)},
            {f"{n:03d}": {"number": 20 + n} for n in range(2)},
            {},
        ]
        assert reported[-1] == ("stage-2", 2, 2)
        again = Workspace(tmp_path / "w").run_stages([*stages, planned("4", log, [1])], executor)
    assert [output.cached for output in again] == [True, True, True, False]
    assert log.read_text().split()[5:] == ["40"]


def test_a_finished_stage_knows_the_size_and_hash_of_its_files(tmp_path: Path) -> None:
    output = run(tmp_path / "w", tmp_path / "log")
    files = json.loads((output.folder / "manifest.json").read_text())["files"]
    paths = sorted(output.folder.rglob("*.txt"))
    assert files == {
        path.relative_to(output.folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256_file(path),
        }
        for path in paths
    }
    assert len(paths) == 5


@pytest.mark.parametrize("not_sampled", [0, 2])
def test_rows_in_are_rows_kept_rejected_and_not_sampled(not_sampled: int) -> None:
    assert Counts(3 + not_sampled, 2, 1, None, not_sampled).not_sampled == not_sampled
    with pytest.raises(AssertionError, match=r"rows not sampled \(\d\)"):
        Counts(4 + not_sampled, 2, 1, None, not_sampled)


def test_clean_removes_only_unused_folders(tmp_path: Path) -> None:
    old, new = (run(tmp_path / "w", tmp_path / "log", setting=number) for number in (1, 2))
    past = time.time() - 10 * 86_400
    os.utime(old.folder / "manifest.json", (past, past))
    snapshot = tmp_path / "w" / "snapshots" / f"{'a' * 32}.parquet"
    theirs = [tmp_path / "w" / path for path in ("snapshots/mine.parquet", "stages/mine/notes/n.txt")]
    for path in (snapshot, *theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for old_path in (path, path.parent):
            os.utime(old_path, (past, past))
    # A clean that was killed had begun with this one.
    cut = run(tmp_path / "w", tmp_path / "log", setting=3).folder
    cut.rename(cut.with_name(cut.name + ".removed"))
    removed, freed = Workspace(tmp_path / "w").clean(keep_days=5)
    assert (removed, freed > 0) == (2, True)
    assert not snapshot.exists()
    assert all(path.exists() for path in theirs)
    assert [path.name for path in old.folder.parent.iterdir()] == [new.folder.name]
    assert new.folder.is_dir()
    assert not old.folder.exists()


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", b"a" * 1000)
    write_atomically(tmp_path / "f", b"b")
    assert (tmp_path / "f").read_bytes() == b"b"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
