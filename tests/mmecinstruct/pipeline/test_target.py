"""The place of a dataset folder: one build at a time, replaced in one step, and nothing else beside it removed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.locks import hold_lock
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline import assemble as assembling_module
from mmecinstruct.pipeline import target as target_module
from mmecinstruct.pipeline.build import build
from mmecinstruct.pipeline.target import lock_target, resolve_target
from mmecinstruct.recipe import load_recipe
from tests.mmecinstruct.pipeline.assembling import assemble, hashes, stage_output

CC, SA = "category_classification", "sentiment_analysis"
HOLD = """
import sys, time
from pathlib import Path
from mmecinstruct.pipeline.target import lock_target, resolve_target
with lock_target(resolve_target(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_build(tmp_path):
    """Another process that holds the lock of tmp_path/out."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("spelling", ["out", "x/../out", "link", "linked/out"])
def test_a_second_build_of_a_folder_is_an_error_before_any_work(other_build, tmp_path, monkeypatch, spelling):
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "linked").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=rf"another build \(process {other_build.pid} on .*name another"):
        build(load_recipe("sample"), Path(spelling), workspace=tmp_path / "ws")
    assert not (tmp_path / "ws" / "stages").exists()
    other_build.kill()
    other_build.wait()
    with lock_target(resolve_target(Path(spelling))) as blocked:
        assert blocked is None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_only_folders_with_a_builds_mark_are_removed(small, sound_folder, tmp_path):
    out = tmp_path / "out"
    theirs = [".out.old", ".out.partial", ".out.build-12345678", ".out.build-lock.bak"]
    for name in theirs:
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
    ours, busy = tmp_path / ".out.build-aaaaaaaa", tmp_path / ".out.build-bbbbbbbb"
    for folder in (ours, busy):
        (folder / "new").mkdir(parents=True)
        (folder / "mark").touch()
    (tmp_path / ".out.build-cccccccc").symlink_to(busy)
    with hold_lock(busy / "mark"), lock_target(out):
        assemble(out, stage_output(sound_folder, tmp_path / "shards", CC), sound_folder, small.recipe)
    assert not ours.exists()
    assert busy.is_dir()
    assert all((tmp_path / name / "precious").exists() for name in theirs)


def test_a_folder_that_was_moved_aside_is_brought_back(tmp_path):
    work = tmp_path / ".out.build-12345678"
    (work / "old").mkdir(parents=True)
    (work / "old" / "README.md").write_text("the older dataset")
    (work / "new").mkdir()
    (work / "mark").touch()
    with lock_target(tmp_path / "out"):
        assert (tmp_path / "out" / "README.md").read_text() == "the older dataset"
        assert not work.exists()


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_full_disk_leaves_the_older_folder(small, sound_folder, tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(target_module, "exchange", lambda one, other: False)
    out = tmp_path / "data" / "out"
    shards = stage_output(sound_folder, tmp_path / "shards", CC)
    assemble(out, shards, sound_folder, small.recipe)
    (out / "LICENSE").write_text("mine")
    before = hashes(out)

    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(assembling_module, "write_manifest", fill_the_disk)
        with pytest.raises(DatasetError, match="free space there, and run again"):
            assemble(out, shards, sound_folder, small.recipe)
    assert hashes(out) == before
    assemble(out, shards, sound_folder, small.recipe)
    assert hashes(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / ("x" * 300), "File name too long; give a shorter name"),
        (lambda folder: folder / ("x" * 240), "more than 220 bytes; choose a shorter one"),
        (lambda folder: folder / "loop", "a symbolic link there leads back to itself: delete it"),
        (lambda folder: folder / os.fsdecode(b"\xff\xfe"), "the name is not UTF-8 text; give another"),
        (
            lambda folder: folder / "file" / "x",
            "cannot be made: .*; a file is in the way: give another path",
        ),
    ],
)
def test_a_target_that_cannot_be_used_is_an_error_with_a_remedy(tmp_path, make, message):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=message):
        build(load_recipe("sample"), make(tmp_path), workspace=tmp_path / "ws")
    assert not (tmp_path / "ws" / "stages").exists()


# Forks a process for each number on stdin, which assembles and is killed at so many system calls of its own;
# 0: not at all, but counted.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.mmecinstruct.pipeline.assembling import assemble
from mmecinstruct.pipeline.target import lock_target
from mmecinstruct.recipe import load_recipe
import datasets, duckdb, huggingface_hub, pyarrow.parquet, pandas

out, shards, dataset = map(Path, sys.argv[1:])
recipe = load_recipe(str(dataset / "recipe.yaml"))
MOMENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "ctypes.dlsym", "shutil.rmtree"}

def child(last):
    seen = swap = 0
    def hook(event, arguments):
        nonlocal seen, swap
        if event in MOMENTS:
            seen += 1
            if event == "ctypes.dlsym" and "renameat2" in arguments:
                swap = seen
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    with lock_target(out):
        assemble(out, shards, dataset, recipe)
    print(seen, swap, flush=True)
    os._exit(0)

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        child(int(line))
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        print("killed", flush=True)
"""


def test_a_folder_that_cannot_be_replaced_is_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="is a mount point, which cannot be replaced"):
        resolve_target(Path("/"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="is the current folder, which cannot be replaced"):
        resolve_target(Path())


@pytest.mark.slow
def test_a_build_killed_at_any_moment_leaves_the_old_or_the_new_folder(small, sound_folder, tmp_path):
    out = tmp_path / "data" / "out"
    first, second = (stage_output(sound_folder, tmp_path / task, task) for task in (CC, SA))
    assemble(out, first, sound_folder, small.recipe)
    (out / "LICENSE").write_text("mine")
    shutil.copytree(out, tmp_path / "older")
    states = [hashes(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out), str(second), str(sound_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def run(last: int) -> str:
        process.stdin.write(f"{last}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    total, swap = map(int, run(0).split())
    states.append(hashes(out))
    assert states[0] != states[1]
    found = []
    # Evenly spread, and each moment around the one at which the new folder takes its place.
    for moment in sorted({*range(1, total, total // 10), *range(swap - 6, swap + 8)}):
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "older", out)
        assert run(moment) == "killed"
        assert validate_folder(out, decode=False) == []
        found.append(states.index(hashes(out)))
        with lock_target(out):
            pass
        assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert set(found) == {0, 1}
    assert found == sorted(found)
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_a_killed_build_frees_the_folder(other_build, tmp_path):
    os.kill(other_build.pid, signal.SIGKILL)
    other_build.wait()
    with lock_target(tmp_path / "out"):
        assert (tmp_path / ".out.build-lock").read_text().startswith(f"process {os.getpid()} on ")
