"""The judges of the attack benchmark: they see what is wrong, and the whole runs on commands that hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def runs() -> Iterator[ModuleType]:
    """Return the module that runs and judges commands."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import attack_runs

        yield attack_runs
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def bench(runs: ModuleType, tmp_path: Path) -> object:
    return runs.Bench(tmp_path, 0, time.monotonic() + 60)


def test_a_digest_tells_other_bytes_missing_files_and_links(runs: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text("1")
    (tmp_path / "a" / "changed").write_text("1")
    (tmp_path / "b" / "changed").write_text("2")
    (tmp_path / "a" / "only-a").write_text("1")
    os.symlink("same", tmp_path / "b" / "only-b")
    said = runs.difference(runs.digest(tmp_path / "a"), runs.digest(tmp_path / "b"))
    assert said == "missing: only-b; too many: only-a; other bytes: changed"


def test_a_folder_of_neither_build_is_mixed(runs: ModuleType) -> None:
    from attack_pairs import is_one_of

    is_one_of({"a": "1"}, [{"a": "2"}, {"a": "1"}])
    with pytest.raises(runs.Fault) as fault:
        is_one_of({"a": "1", "b": "2"}, [{"a": "1", "b": "1"}, {"a": "2", "b": "2"}])
    assert fault.value.kind == "mixed"


@pytest.mark.parametrize(
    ("said", "code", "fault"),
    [
        ("error: x", 1, ""),
        ("", 0, ""),
        ("usage", 2, "exit 2"),
        ("Traceback (most recent call last):\n", 1, "traceback"),
    ],
)
def test_a_traceback_or_another_exit_status_is_wrong(
    runs: ModuleType, said: str, code: int, fault: str
) -> None:
    ran = runs.Ran(["mmec", "build"], code, "", said, 1.0)
    if not fault:
        runs.check_orderly(ran)
        return
    with pytest.raises(runs.Fault, match=fault):
        runs.check_orderly(ran)


def test_a_command_that_takes_too_long_is_ended_and_wrong(
    runs: ModuleType, bench: object, tmp_path: Path
) -> None:
    command = ["mmec", "miniature", "--out", str(tmp_path / "raw"), "--scale", "1"]
    with runs.Running(bench, command, tmp_path, limit=1.0) as running:
        with pytest.raises(runs.Fault, match="not over after 1 s"):
            running.ended()
        # The kernel removes killed workers a moment later.
        deadline = time.monotonic() + 10
        while runs.session(running.process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert runs.session(running.process.pid) == []


def test_markup_is_found_behind_entities_and_invisible_characters(runs: ModuleType) -> None:
    from attack_texts import TAG, seen_by_a_reader

    for text in ("<scr\u200bipt>", "&amp;lt;img src=x", "< SVG onload=1", "&#60;a href=x"):
        assert TAG.search(seen_by_a_reader(text)), text
    for text in ("a < b and c > d", "5 <6 & x", "<3"):
        assert not TAG.search(seen_by_a_reader(text)), text


@pytest.mark.slow
def test_the_benchmark_runs_and_records_each_try(tmp_path: Path) -> None:
    out, page = tmp_path / "attack.json", tmp_path / "page.md"
    page.write_text("before\n<!-- attack: begin -->\na stale table\n<!-- attack: end -->\nafter\n")
    command = [sys.executable, str(BENCHMARKS / "attack.py"), "--only", "hostile tables and recipes"]
    command += ["--match", "CSV: e", "--out", str(out), "--page", str(page)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    record = json.loads(out.read_text())
    assert [one["outcome"] for one in record["tries"]] == ["survived"]
    assert "| hostile tables and recipes | 1 | 1 | 0 | 0 | 0 | 0 |" in out.with_suffix(".md").read_text()
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "stale" not in written
    assert str(tmp_path) not in out.read_text()
