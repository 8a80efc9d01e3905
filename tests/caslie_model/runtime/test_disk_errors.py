"""Errors of a disk, as torch and safetensors raise them, become messages with a remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caslie_model.errors import RunError
from caslie_model.hub.errors import not_loaded
from caslie_model.runtime.disk_errors import disk_error, explained_disk_errors

LIMITED = """
import resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from caslie_model.errors import RunError
from caslie_model.runtime.disk_errors import explained_disk_errors

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
tensors = {"a": torch.zeros(10_000)}
for write in (
    lambda: torch.save(tensors, folder / "a.pt"),
    lambda: save_file(tensors, folder / "a.safetensors"),
    lambda: (folder / "a.txt").write_text("x" * 10_000),
):
    try:
        with explained_disk_errors(folder, "then give --resume"):
            write()
    except RunError as error:
        print(error)
"""


def test_a_file_that_is_not_written_to_its_end_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    remedy = "raise the limit of a file's size (`ulimit -f`), or use another disk; then give --resume"
    assert done.stdout.splitlines() == [
        f"{tmp_path}: a file could not be written to its end; free space there; then give --resume",
        f"{tmp_path}: File too large; {remedy}",
        f"{tmp_path}: File too large; {remedy}",
    ]


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    for error in (RuntimeError("shapes differ"), FileNotFoundError(2, "No such file", "x")):
        assert disk_error(error) is None
        with pytest.raises(type(error)), explained_disk_errors(tmp_path, ""):
            raise error


def test_too_few_open_files_are_a_remedy_and_no_riddle(tmp_path: Path) -> None:
    error = RuntimeError("unable to open file <a> in read-only mode: Too many open files (24)")
    said = "Too many open files; raise the limit of open files"
    with pytest.raises(RunError, match=said), explained_disk_errors(tmp_path, ""):
        raise error
    assert "`ulimit -n 4096`" in str(not_loaded("base model", "x", error))
