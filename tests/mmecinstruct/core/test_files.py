"""Atomic writes, and what killed ones leave."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmecinstruct.core.files import remove_leftovers, write_atomically
from mmecinstruct.core.output_folder import FINETUNE, claim_output
from mmecinstruct.web.raw_files.partial import Partial, Version

KILLED = """
import os, sys
from pathlib import Path
from mmecinstruct.core import files

files.os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
files.write_atomically(Path(sys.argv[1]), b"half")
"""


def kill_while_writing(path: Path) -> Path:
    """Kill a process in the middle of an atomic write; return the file that it leaves."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == -9
    (left,) = path.parent.glob(f".{path.name}.*.tmp")
    return left


def test_a_killed_write_leaves_the_old_content(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", b"old")
    kill_while_writing(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b"old"


def test_only_leftovers_of_ended_processes_are_removed(tmp_path: Path) -> None:
    left = kill_while_writing(tmp_path / "a.json")
    running = tmp_path / f".a.json.{os.getpid()}.tmp"
    others = [running, tmp_path / ".a.json.mine.tmp", tmp_path / "a.tmp", tmp_path / f".b.{'9' * 40}.tmpx"]
    for other in others:
        other.write_text("kept")
    held = kill_while_writing(tmp_path / "held.json")
    with held.open("rb") as stream:  # by a process of another container, whose number is not known here
        fcntl.flock(stream, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
    assert held.exists()
    assert not left.exists()
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("command", ["pull", "finetune"])
def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path, command: str) -> None:
    partial = Partial(tmp_path / "meta.json.gz")
    name = "meta.json.gz.partial.state" if command == "pull" else "config.yaml"
    left = kill_while_writing(tmp_path / name)
    if command == "pull":
        partial.begin(Version("http://127.0.0.1/meta.json.gz"))
    else:
        claim_output(tmp_path, FINETUNE)
    assert not left.exists()
