"""The repository holds sources, no data, in files that can be read at one sitting."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1024 * 1024
MOST_LINES = 450


def test_no_module_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("mmecinstruct", "caslie_model", "benchmarks", "docs")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


# A file of gigabytes that got in stays in the history for ever.
def test_no_tracked_file_is_large() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git, or not its working tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    assert ROOT / "pyproject.toml" in paths
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in paths if path.is_file()}
    assert {name: size for name, size in large.items() if size > MOST_BYTES} == {}
