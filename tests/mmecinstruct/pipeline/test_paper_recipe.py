"""The paper's recipe, at a hundredth of its sizes: every publisher's files pulled from a server, then built.

The commands are run as a user runs them, each in its own process, which a test may kill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.shards import find_shards
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.synthetic.raw_files import write_miniature
from mmecinstruct.tasks import TASKS
from tests.servers import raw_file_server

OOD_TASKS = [name for name, task in TASKS.items() if task.has_ood]

pytestmark = pytest.mark.slow

SCALE = 0.01
SIZES = {"train": 80, "validation": 10, "test": 10, "test_ood": 10}
MMEC = [sys.executable, "-m", "mmecinstruct"]
# The mirror's files are no copies of the publishers', whose checksums are known.
MIRROR_SETTINGS = ["--set", "pull.checksums=false"]
PATIENCE = 600.0  # seconds


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every publisher's files, a hundredth of their number of records."""
    folder = tmp_path_factory.mktemp("published")
    write_miniature(folder, SCALE, 1)
    return folder


def mmec(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Its output is shown where the test fails."""
    done = subprocess.run(
        [*MMEC, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    print(done.stdout, done.stderr)
    return done


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and its workers at once, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_begun(path: Path) -> bool:
    """Whether bytes of a file have arrived that is not whole."""
    try:
        return path.with_name(f"{path.name}.partial").stat().st_size > 0
    except FileNotFoundError:
        return False


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Pulled:
    """A raw folder in its home, and what it took to fill it after the first pull was killed half way."""

    home: Path
    total: int  # bytes of all files
    sent_again: int  # bytes that the second pull was sent
    ranges: int  # requests for the rest of a file
    asked_by_third: int  # files asked for when all were there
    output: str


@pytest.fixture(scope="module")
def pulled(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Pulled:
    home = tmp_path_factory.mktemp("home")
    total = sum(path.stat().st_size for path in published.rglob("*") if path.is_file())
    with raw_file_server.serving(published) as server:
        command = ["pull", "--recipe", "paper", "--mirror", server.url, "--data", "raw", *MIRROR_SETTINGS]
        server.halt_after = total // 2
        process = subprocess.Popen([*MMEC, *command], cwd=home, start_new_session=True)
        assert server.halted.wait(PATIENCE), "the pull ended before half of the bytes were asked for"
        # What was sent may still be on its way: on a busy machine the kill would come before a piece was written.
        deadline = time.monotonic() + 100  # the server halts a little longer
        while not any(has_begun(home / "raw" / path) for path in list(server.unfinished)):
            assert time.monotonic() < deadline, f"nothing has arrived of {server.unfinished}"
            time.sleep(0.1)
        kill(process)
        server.release()
        before = server.sent
        done = mmec(*command, cwd=home)
        assert done.returncode == 0, done.stderr
        sent_again = server.sent - before
        asked = sum(request.method == "GET" for request in server.log)
        assert mmec(*command, cwd=home).returncode == 0
        return Pulled(
            home,
            total,
            sent_again,
            sum(bool(request.range) for request in server.log),
            sum(request.method == "GET" for request in server.log) - asked,
            done.stdout + done.stderr,
        )


def build_command(out: str, workers: int, workspace: str) -> list[str]:
    return [
        "build", "--recipe", "paper", "--set", f"scale={SCALE}", "--data", "raw", "--out", out,
        "--workers", str(workers), "--workspace", workspace,
    ]  # fmt: skip


@dataclass(frozen=True)
class Built:
    """A dataset folder, built by two commands; the first was killed."""

    folder: Path
    kept: dict[Path, int]  # files that were finished when it was killed, and when they were written
    there_when_killed: bool  # the dataset folder
    seconds: float  # of the second command


@pytest.fixture(scope="module")
def built(pulled: Pulled) -> Built:
    command, home = build_command("one", 1, "work"), pulled.home
    process = subprocess.Popen([*MMEC, *command], cwd=home, start_new_session=True)
    stages = home / "work" / "stages"
    deadline = time.monotonic() + PATIENCE
    # Late enough that something is finished, early enough that something is not.
    while not list(stages.glob("curate_products/*/manifest.json")):
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    kill(process)
    there = (home / "one").exists()
    kept = {
        path: path.stat().st_mtime_ns
        for manifest in stages.glob("*/*/manifest.json")
        for path in manifest.parent.rglob("*.parquet")
    }
    start = time.monotonic()
    done = mmec(*command, cwd=home)
    assert done.returncode == 0, done.stderr
    return Built(home / "one", kept, there, time.monotonic() - start)


@pytest.fixture(scope="module")
def dataset(built: Built) -> Path:
    return built.folder


def test_pulled_files_equal_the_published_ones(published: Path, pulled: Pulled) -> None:
    wanted, there = hashes(published), hashes(pulled.home / "raw")
    fetched = {name: digest for name, digest in there.items() if name in wanted}
    assert {name: wanted[name] for name in fetched} == fetched
    publishers = {name.partition("/")[0] for name in fetched}
    assert publishers == {"amazon2018", "amazonqa", "mave", "esci", "sqid"}


def test_a_killed_pull_goes_on_where_it_stopped(pulled: Pulled) -> None:
    # Pieces that were on their way when the line went down are sent again, what had arrived is not.
    assert pulled.sent_again < 0.75 * pulled.total
    assert pulled.ranges > 0


def test_existing_files_are_not_requested_again(pulled: Pulled) -> None:
    assert pulled.asked_by_third == 0


def test_a_killed_build_goes_on_where_it_stopped(built: Built) -> None:
    assert not built.there_when_killed  # a dataset folder is whole or not there
    assert built.kept
    assert {path: path.stat().st_mtime_ns for path in built.kept} == built.kept


def test_every_task_and_split_has_the_size_asked_for(dataset: Path) -> None:
    assert validate_folder(dataset) == []
    found = {task: dict.fromkeys(SPLITS, 0) for task in TASKS}
    for name in find_shards(dataset):
        path = dataset / name
        found[path.parent.name][path.name.partition("-")[0]] += pq.read_metadata(path).num_rows
    assert found == {task: SIZES if task in OOD_TASKS else SIZES | {"test_ood": 0} for task in TASKS}


def test_shards_hold_urls_and_no_pixels(dataset: Path) -> None:
    for name in find_shards(dataset):
        for row in pq.read_table(dataset / name).to_pylist():
            nulls = [None] * len(row["image_roles"])
            assert row["images"] == row["image_ids"] == nulls
            assert len(row["image_urls"]) == len(nulls) > 0
            assert all(url.startswith("https://") for url in row["image_urls"])


def test_domains_are_the_papers(dataset: Path) -> None:
    for name in find_shards(dataset):
        path = dataset / name
        if path.parent.name not in OOD_TASKS:
            continue
        categories = set(pq.read_table(path, columns=["category"])["category"].to_pylist())
        if path.name.startswith("test_ood"):
            assert categories == {"Tools & Home Improvement"}
        else:
            assert categories <= {"Electronics", "Home & Kitchen", "Sports & Outdoors"}


def test_no_stage_loses_a_record_in_silence(dataset: Path) -> None:
    for stage in json.loads((dataset / "statistics.json").read_text())["stages"]:
        assert stage["records"] == stage["kept"] + stage["rejected"] + stage.get("not_sampled", 0), stage


def test_open_licences_keep_redistributable_sources(pulled: Pulled) -> None:
    command = build_command("open", 1, "work-open")
    done = mmec(*command, "--licences", "open", cwd=pulled.home)
    assert done.returncode == 0, done.stderr
    assert "warning: split.ood_categories: no product is in 'Tools & Home Improvement'" in done.stderr
    for task in TASKS:
        not_built = f"Not built: {task}: " in done.stderr
        assert not_built == (
            task not in ("product_substitute_identification", "multiclass_product_classification")
        )
    sizes = json.loads((pulled.home / "open" / "statistics.json").read_text())["tasks"]
    assert {split: entry["rows"] for split, entry in sizes["multiclass_product_classification"].items()} == {
        split: size for split, size in SIZES.items() if split != "test_ood"
    }


def test_a_second_run_does_nothing(built: Built) -> None:
    home, out = built.folder.parent, built.folder
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    stages = set((home / "work" / "stages").glob("*/*"))
    start = time.monotonic()
    done = mmec(*build_command("one", 1, "work"), cwd=home)
    assert done.returncode == 0
    assert time.monotonic() - start < max(5.0, built.seconds / 5)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert set((home / "work" / "stages").glob("*/*")) == stages


def test_two_workers_write_the_same_bytes_as_one(dataset: Path) -> None:
    done = mmec(*build_command("two", 2, "work2"), cwd=dataset.parent)
    assert done.returncode == 0, done.stderr
    assert hashes(dataset.parent / "two") == hashes(dataset)
