"""The built wheel carries templates and recipes, needs no torch, and does the main job outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The environment's libraries are reachable, the checkout is not, and torch and its kin are not to be found.
NO_TORCH = """
import sys
from importlib.machinery import PathFinder


class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "peft", "accelerate"}:
            return None
        return super().find_spec(name, path, target)


sys.meta_path = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    result = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_every_template_and_recipe(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "pipelines"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"mmecinstruct/_{folder}/{path.relative_to(ROOT / folder).as_posix()}" in names


@pytest.mark.slow
def test_the_wheel_carries_every_file_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("mmecinstruct", "caslie_model"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {path.relative_to(ROOT).as_posix() for path in files} <= names
        assert f"{package}/py.typed" in names
    assert "mmecinstruct/text/profanity.txt" in names
    assert "mmecinstruct/sources/publishers/esci.yaml" in names


@pytest.mark.slow
def test_an_installed_wheel_builds_the_sample_without_torch(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (site / "sitecustomize.py").write_text(NO_TORCH)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mmecinstruct",
            "build",
            "--tasks",
            "cc,ap",
            "--set",
            "sample.products=120",
            "--workers",
            "1",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "dataset-sample"
    look = (
        "import importlib.util, mmecinstruct\n"
        "assert importlib.util.find_spec('torch') is None\n"
        "print(mmecinstruct.__file__)"
    )
    where = subprocess.run(
        [sys.executable, "-c", look],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    assert (tmp_path / "dataset-sample" / "category_classification").is_dir()
