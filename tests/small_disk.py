"""A small disk of its own for a test: a tmpfs in a namespace, in which one process runs a function of the test."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[1]
_FILLER = "filler"


@functools.cache
def _can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run_on_small_disk(
    function: Callable[..., None], folder: Path, *arguments: Path, kilobytes: int = 3000
) -> str:
    """Run a test's function in a process that has a small disk; return what it printed on stderr.

    Args:
        function: A function at the top of a module of tests; it is given the disk's folder and the arguments.
        folder: Where the disk is mounted; created.
        *arguments: More paths for the function.
        kilobytes: Size of the disk.
    """
    if not _can_mount():
        pytest.skip("a test may not mount a disk here (unshare -rm)")
    folder.mkdir()
    module = Path(function.__code__.co_filename).relative_to(ROOT).with_suffix("")
    code = (
        "import importlib, pathlib, sys\n"
        f"module = importlib.import_module({'.'.join(module.parts)!r})\n"
        f"getattr(module, {function.__name__!r})(*map(pathlib.Path, sys.argv[1:]))\n"
    )
    mount = f'mount -t tmpfs -o size={kilobytes}k tmpfs "$1" && exec "$0" -c "$2" "$1" "${{@:3}}"'
    command = ["unshare", "-rm", "bash", "-c", mount, sys.executable, str(folder), code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stderr


def resize(disk: Path, kilobytes: int) -> None:
    """Remove what filled the disk, and give it another size."""
    (disk / _FILLER).unlink(missing_ok=True)
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


@contextmanager
def full_before(disk: Path, module: str, path: str, count: int = 1) -> Iterator[None]:
    """Fill the disk before a function is called for the n-th time; the function itself runs as it is.

    Args:
        disk: The disk's folder.
        module: The module whose name is called.
        path: The function's name there, such as `Class.method`.
        count: The number of the call.

    Yields:
        Nothing.
    """
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function, calls = getattr(owner, name), []

    @functools.wraps(function)
    def filling(*given: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            fill(disk)
        return function(*given, **options)

    with patch.object(owner, name, filling):
        yield
    assert len(calls) >= count


def fill(disk: Path) -> None:
    """Fill the disk to the last block."""
    with (disk / _FILLER).open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1000))
        except OSError:
            pass
