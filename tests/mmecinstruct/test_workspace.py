"""Stages: fingerprinted, resumable, accounted for, locked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmecinstruct.errors import WorkspaceError
from mmecinstruct.executors import LocalExecutor
from mmecinstruct.workspace import Counts, Shard, StageOutput, Workspace, write_atomically


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


def run(
    folder: Path,
    log: Path,
    function=write_number,
    *,
    settings: int = 1,
    version: int = 1,
    workers: int = 1,
) -> StageOutput:
    shards = [Shard(f"{number:03d}", (number, str(log))) for number in range(5)]
    with LocalExecutor(workers) as executor:
        return Workspace(folder).run_stage(
            "stage", version, {"setting": settings}, {"input": "abc"}, shards, function, executor
        )


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
    marks = {
        run(tmp_path / "w", tmp_path / "log", settings=settings, version=version).fingerprint
        for settings, version in ((1, 1), (2, 1), (1, 2))
    }
    assert len(marks) == 3


def test_after_a_failure_only_what_is_missing_runs(tmp_path: Path) -> None:
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


def test_a_full_disk_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"No space left on device \(x.parquet\); free space"):
        run(tmp_path / "w", tmp_path / "log", fill_the_disk)


def test_two_workers_write_the_same_files(tmp_path: Path) -> None:
    manifests = [
        (
            run(tmp_path / str(workers), tmp_path / "log", workers=workers).folder / "manifest.json"
        ).read_bytes()
        for workers in (1, 2)
    ]
    assert manifests[0] == manifests[1]


def test_output_that_was_tampered_with_is_not_used(tmp_path: Path) -> None:
    output = run(tmp_path / "w", tmp_path / "log")
    output.files("number.txt")[2].write_text("tampered")
    with pytest.raises(WorkspaceError, match="missing or changed; delete"):
        run(tmp_path / "w", tmp_path / "log")


def test_counts_must_add_up() -> None:
    with pytest.raises(AssertionError, match=r"rows in \(3\)"):
        Counts(3, 1, 1)


def test_a_second_build_is_kept_out_and_a_dead_one_is_not(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from mmecinstruct.workspace import Workspace\n"
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


def test_file_hashes_follow_the_content(tmp_path: Path) -> None:
    workspace, file = Workspace(tmp_path / "w"), tmp_path / "f"
    file.write_text("one")
    os.utime(file, (time.time() - 60, time.time() - 60))
    first = workspace.file_fingerprint(file)
    assert workspace.file_fingerprint(file) == first
    file.write_text("two")
    assert workspace.file_fingerprint(file) != first


def test_clean_removes_only_what_was_not_used(tmp_path: Path) -> None:
    old, new = (run(tmp_path / "w", tmp_path / "log", settings=number) for number in (1, 2))
    past = time.time() - 10 * 86_400
    os.utime(old.folder / "manifest.json", (past, past))
    removed, freed = Workspace(tmp_path / "w").clean(keep_days=5)
    assert (removed, freed > 0) == (1, True)
    assert new.folder.is_dir()
    assert not old.folder.exists()


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", b"a" * 1000)
    write_atomically(tmp_path / "f", b"b")
    assert (tmp_path / "f").read_bytes() == b"b"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
