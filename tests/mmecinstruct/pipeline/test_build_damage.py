"""Damaged workspaces, full disks and read-only places: never another dataset, and never a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import BuildReport, build
from mmecinstruct.recipe import load_recipe
from tests.mmecinstruct.pipeline.assembling import hashes

RECIPE = ("sample.products=60", "sizes.train=20")
TASKS = ("category_classification", "product_relation_prediction")
COMMAND = [
    *(sys.executable, "-m", "mmecinstruct", "build", "--tasks", "cc,prp", "--workers", "1"),
    *(part for setting in RECIPE for part in ("--set", setting)),
]
ROOT = Path(__file__).parents[3]


def build_sample(folder: Path, workers: int = 1) -> BuildReport:
    recipe = load_recipe("sample", list(RECIPE))
    return build(recipe, folder / "out", workspace=folder / "ws", tasks=TASKS, workers=workers)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build_sample(folder)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the finished build, times kept."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def damage(stage: Path, change: Callable[[bytes], bytes]) -> list[Path]:
    """Damage one file of each name that a stage wrote, without a trace in size or times; return them."""
    damaged = {}
    for file in sorted(stage.glob("*/*/**/*")):
        if file.is_file() and file.name != "counts.json" and file.stat().st_size > 8:
            damaged.setdefault(file.suffix + file.name[:4], file)
    for file in damaged.values():
        times = file.stat()
        content = change(file.read_bytes())
        assert len(content) == times.st_size
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return list(damaged.values())


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def bytes_of_zero(content: bytes) -> bytes:
    return bytes(len(content))


# A stage to damage, and the stages from which on everything has to run again; None: only the folder is written.
DAMAGE = [
    ("synthetic_shop_images", "images", bytes_of_zero),
    ("synthetic_shop", "parse-*", flip),
    ("curate_products", "filter", flip),
    ("images", "index", flip),
    ("split-category_classification", "select", bytes_of_zero),
    ("select", "index", bytes_of_zero),
    ("shards", None, flip),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "run_from", "change"), DAMAGE)
def test_a_damaged_stage_never_gives_another_dataset(
    built: Path, copy: Path, stage: str, run_from: str | None, change: Callable[[bytes], bytes]
) -> None:
    shutil.rmtree(copy / "out")
    order = ["synthetic_*", "parse-*", "curate_products", "hygiene", "curate_*", "images", "filter"]
    order += [
        "deduplicate",
        "merge-*",
        "assign",
        "task-*",
        "split-*",
        "select",
        "index",
        "render-*",
        "oracle-*",
        "shards",
    ]
    for pattern in order[order.index(run_from) :] if run_from else ():
        for folder in (copy / "ws" / "stages").glob(pattern):
            if folder.name != stage and not (pattern == "curate_*" and folder.name == "curate_products"):
                shutil.rmtree(folder)
    (file, *_) = damage(copy / "ws" / "stages" / stage, change)
    report = build_sample(copy)
    assert hashes(copy / "out") == hashes(built / "out")
    assert [warning for warning in report.warnings if f"/{stage}/" in warning], file


def test_a_build_with_nothing_to_do_reads_no_stage(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mmecinstruct.engine.workspace.sha256_file", lambda path: pytest.fail(f"{path} is hashed")
    )
    assert build_sample(copy).up_to_date


def in_mount(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which mounts are of no concern to others; skip where nobody may mount."""
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount anything")
    command = ["unshare", "-m", "sh", "-c", script, "sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "/ws", "/out"])
def test_a_finished_build_on_a_read_only_place_is_up_to_date(copy: Path, place: str) -> None:
    script = 'mount --bind "$1$2" "$1$2" && mount -o remount,bind,ro "$1$2" || exit 9; shift 2; exec "$@"'
    where = ["--out", str(copy / "out"), "--workspace", str(copy / "ws")]
    done = in_mount(script, str(copy), place, *COMMAND, *where)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("out was up to date.\n")
    other = in_mount(script, str(copy), place, *COMMAND, *where, "--set", "seed=7")
    assert other.returncode == 1
    assert "Traceback" not in other.stderr
    said = other.stderr.splitlines()[-1]
    assert str(copy / place.removeprefix("/")) in said
    remedy = (
        "give a folder in it, or another path"
        if place == "/out"
        else "give a path on a disk that can be written"
    )
    assert remedy in said


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [500, 2000])
def test_a_build_goes_on_after_a_full_disk(built: Path, tmp_path: Path, kilobytes: int) -> None:
    (tmp_path / "disk").mkdir()
    script = (
        'disk=$1; mount -t tmpfs -o "size=$2k" none "$disk" || exit 9; keep=$3; shift 3\n'
        '"$@" && exit 8\n'
        'ls -A "$disk" > "$keep/left"; mount -o remount,size=200m "$disk"; "$@" && cp -r "$disk/out" "$keep"'
    )
    disk = str(tmp_path / "disk")
    where = ["--out", f"{disk}/out", "--workspace", f"{disk}/ws"]
    done = in_mount(script, disk, str(kilobytes), str(tmp_path), *COMMAND, *where)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "No space left on device" in said
    assert "free space there" in said
    assert disk in said
    assert (tmp_path / "left").read_text() == "ws\n"
    assert hashes(tmp_path / "out") == hashes(built / "out")
    assert validate_folder(tmp_path / "out") == []


@pytest.mark.parametrize("limit", ["-f 8", "-n 12"])
def test_limits_of_the_system_are_told_with_a_remedy(tmp_path: Path, limit: str) -> None:
    where = ["--out", str(tmp_path / "out"), "--workspace", str(tmp_path / "ws")]
    done = subprocess.run(
        ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *COMMAND, *where],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"`ulimit {limit[:2]}" in done.stderr
