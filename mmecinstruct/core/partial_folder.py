"""Folders that are written beside their place and moved there when they are whole."""

from __future__ import annotations

import glob
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmecinstruct.core.disk_errors import writing_to
from mmecinstruct.core.locks import LockHeld, hold_folder
from mmecinstruct.core.output_folder import is_marked, write_mark


@contextmanager
def partial_folder(target: Path, command: str) -> Iterator[Path]:
    """Give a new, marked folder beside a target, on the same disk; it is deleted at the end unless it was moved.

    What killed processes of the same command left there is deleted too. A folder without the command's mark is never
    touched, whatever its name.

    Args:
        target: The folder that the new one will become.
        command: The command that writes it.

    Yields:
        The folder, which holds its mark alone.

    Raises:
        OutputError: If it cannot be written.
    """
    # Short, so that its name is never the longer one that no disk takes.
    prefix = f".{target.name[:50]}."
    for left in target.parent.glob(f"{glob.escape(prefix)}*.partial"):
        if is_marked(left, command):
            with suppress(LockHeld, OSError), hold_folder(left):
                shutil.rmtree(left, ignore_errors=True)
    partial = target.with_name(f"{prefix}{secrets.token_hex(4)}.partial")
    with writing_to(target):
        partial.mkdir(parents=True)
    try:
        with hold_folder(partial):
            with writing_to(target):
                write_mark(partial, command)
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
