"""A damaged file of a finished stage is found before another stage reads it, and its stage makes it anew."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mmecinstruct.core.errors import SourceError, WorkspaceError
from mmecinstruct.engine import workspace as workspace_module
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.run import Run, until_sound
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.engine.stage_folder import DamagedOutput, read_sealed, sealed
from mmecinstruct.engine.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Write(Stage):
    """Write three numbers, and log each."""

    name = "write"
    version = 1
    log: Path = field(metadata=RUNTIME)

    def items(self) -> Sequence[WorkItem]:
        return [WorkItem(f"{number:03d}", number) for number in range(3)]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        with self.log.open("a") as stream:
            stream.write(f"{item.payload}")
        (folder / "deep").mkdir()
        (folder / "deep" / "number.txt").write_text(f"number {item.payload}")
        return Counts(1, 1, 0, {"number": item.payload})


@dataclass(frozen=True, kw_only=True)
class Add(Stage):
    """Add the numbers of files."""

    name = "add"
    version = 1
    numbers: Files
    setting: int = 1

    def work(self, item: WorkItem, folder: Path) -> Counts:
        found = [
            path for one in self.numbers.paths for path in ([one] if one.is_file() else one.rglob("*.txt"))
        ]
        total = sum(int(path.read_text().split()[1]) for path in found)
        (folder / "sum.txt").write_text(str(total))
        return Counts(1, 1, 0)


class Shop:
    """A workspace in which `write` and `add` run, and damage to the output of `write`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.workers = 1
        self.whole_folder = False

    def write(self) -> StageOutput:
        with LocalExecutor(self.workers) as executor:
            return Run(Workspace(self.folder / "w"), executor).run(Write(log=self.log))

    def add(self, setting: int = 1) -> tuple[str, list[str]]:
        def once() -> str:
            with LocalExecutor(self.workers) as executor:
                run = Run(Workspace(self.folder / "w"), executor)
                written = run.run(Write(log=self.log))
                files = Files.of(written, "deep/number.txt")
                if self.whole_folder:
                    files = Files((written.folder,), files.fingerprints)
                (path,) = run.run(Add(numbers=files, setting=setting)).files("sum.txt")
                return path.read_text()

        return until_sound(once)

    def damage(self, change: Callable[[bytes], bytes], name: str = "001/deep/number.txt") -> Path:
        """Change a file of `write` without a trace in its times."""
        file = self.write().folder / name
        times = file.stat()
        file.write_bytes(change(file.read_bytes()))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        return file


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("here", [0, workspace_module.HASHED_HERE])
def test_a_flipped_byte_is_made_anew_before_another_stage_reads_it(shop, monkeypatch, workers, here):
    monkeypatch.setattr(workspace_module, "HASHED_HERE", here)
    shop.workers = workers
    file = shop.damage(flip)
    assert shop.add() == (
        "3",
        [f"{file} was damaged and has been made anew; check the disk of the workspace"],
    )
    assert sorted(shop.log.read_text()) == ["0", "1", "1", "2"]
    assert shop.add() == ("3", [])


def test_a_folder_stands_for_all_files_in_it(shop):
    shop.whole_folder = True
    shop.damage(flip)
    result, warnings = shop.add()
    assert (result, len(warnings)) == ("3", 1)


def test_the_error_names_file_stage_and_remedy(shop):
    file = shop.damage(flip)
    with LocalExecutor() as executor:
        run = Run(Workspace(shop.folder / "w"), executor)
        files = Files.of(run.run(Write(log=shop.log)), "deep/number.txt")
        with pytest.raises(
            DamagedOutput, match=rf"{file}, which stage write wrote, is damaged: .*; run again"
        ):
            run.run(Add(numbers=files))


@pytest.mark.parametrize("change", [lambda content: b"", lambda content: content + b"1"])
def test_a_file_of_another_size_is_made_anew(shop, change):
    shop.damage(change)
    assert shop.add() == ("3", [])
    assert sorted(shop.log.read_text()) == ["0", "1", "1", "2"]


def test_a_lost_file_is_made_anew(shop):
    shutil.rmtree(shop.write().folder / "002")
    assert shop.add() == ("3", [])
    assert sorted(shop.log.read_text()) == ["0", "1", "2", "2"]


@pytest.mark.parametrize("name", ["manifest.json", "001/counts.json"])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"{",
        lambda content: b"[]",
        lambda content: b"",
        lambda content: b"\xff" * len(content),
        lambda content: content.replace(b'"kept": 1', b'"kept": 9').replace(b'"kept": 3', b'"kept": 9'),
    ],
)
def test_damaged_counts_are_never_used(shop, name, change):
    expected = json.loads((shop.write().folder / "manifest.json").read_text())
    shop.damage(change, name)
    if name != "manifest.json":
        # Counts of items are read where a stage is finished.
        shop.damage(change, "manifest.json")
    output = shop.write()
    assert (output.kept, output.extra["001"]) == (3, {"number": 1})
    assert json.loads((output.folder / "manifest.json").read_text()) == expected
    assert sorted(shop.log.read_text()) == [*("0", "1"), *(["1"] if name != "manifest.json" else []), "2"]


def test_counts_by_number_are_read_back(tmp_path):
    content = {"sizes": dict.fromkeys((2, 10, 1), 1), "share": 0.1}
    (tmp_path / "f").write_bytes(sealed(content))
    assert read_sealed(tmp_path / "f") == {"sizes": {"2": 1, "10": 1, "1": 1}, "share": 0.1}


def test_damage_that_repeats_is_an_error(shop, monkeypatch):
    shop.damage(flip)
    monkeypatch.setattr(
        Write, "items", lambda self: [WorkItem(f"{number:03d}", number) for number in range(3)]
    )
    work = Write.work

    def write_and_rot(self: Write, item: WorkItem, folder: Path) -> Counts:
        counts = work(self, item, folder)
        monkeypatch.setattr(workspace_module, "sha256_file", lambda path: "rotten")
        return counts

    monkeypatch.setattr(Write, "work", write_and_rot)
    with pytest.raises(WorkspaceError, match="where that repeats, check the disk"):
        shop.add()


def test_each_input_is_hashed_once_and_only_for_stages_that_run(shop, monkeypatch):
    shop.add()
    hashed: list[Path] = []
    real = workspace_module.sha256_file
    monkeypatch.setattr(workspace_module, "sha256_file", lambda path: hashed.append(path) or real(path))
    shop.add()
    assert hashed == []
    with LocalExecutor() as executor:
        run = Run(Workspace(shop.folder / "w"), executor)
        files = Files.of(run.run(Write(log=shop.log)), "deep/number.txt")
        for setting in (2, 3):
            run.run(Add(numbers=files, setting=setting))
    assert sorted(hashed) == sorted(files.paths)


def test_a_raw_file_that_changed_behind_its_times_is_an_error(shop, monkeypatch):
    raw = shop.folder / "raw"
    raw.write_text("number 7")
    workspace = Workspace(shop.folder / "w")
    (sha256,) = workspace.file_fingerprints([raw])
    raw.write_text("number 8")
    files = Files((raw,), {"raw": sha256}, {raw: sha256})
    with LocalExecutor() as executor:
        # In the run that took the hash nothing is read twice.
        workspace.run_stages([Add(numbers=files)], executor)
        with pytest.raises(SourceError, match=f"{raw}: the content changed, but neither size nor times"):
            Workspace(shop.folder / "w").run_stages([Add(numbers=files, setting=2)], executor)


READ = """
import os, sys
from pathlib import Path
sys.path.insert(0, str(Path.cwd()))
if "--nobody" in sys.argv:
    os.setuid(65534)
from tests.mmecinstruct.engine.test_damage import Shop, Run, Workspace, LocalExecutor, Write
shop = Shop(Path(sys.argv[1]))
store = Workspace(shop.folder / "w")
with store.lock(), LocalExecutor() as executor:
    run = Run(store, executor)
    print(run.run(Write(log=shop.log)).kept, run.file_fingerprints([shop.folder / "raw"])[0][:8])
    if "--more" in sys.argv:
        print(shop.add())
"""


def read_only(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run READ over a folder that cannot be written: mounted so, or as another user."""
    command = [sys.executable, "-c", READ, str(folder), *options]
    mount = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
    if (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode
    ):
        command = ["unshare", "-m", "sh", "-c", mount, "sh", *command]
    elif os.getuid() == 0:
        command.append("--nobody")
    else:
        subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])


def test_a_finished_stage_in_a_workspace_that_cannot_be_written_is_read(shop):
    (shop.folder / "raw").write_text("number 7")
    with Workspace(shop.folder / "w").lock():
        shop.write()
    found = read_only(shop.folder)
    assert (found.returncode, found.stdout[:2]) == (0, "3 "), found.stderr
    more = read_only(shop.folder, "--more")
    assert "WorkspaceError: stage add: " in more.stderr
    assert "give a path on a disk that can be written" in more.stderr
