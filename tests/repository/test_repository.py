"""The repository holds sources, no data: a file of gigabytes that got in stays in its history for ever."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1024 * 1024


def test_no_tracked_file_is_large() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git, or not its working tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    assert ROOT / "pyproject.toml" in paths
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in paths if path.is_file()}
    assert {name: size for name, size in large.items() if size > MOST_BYTES} == {}
