"""Errors of a disk while tensors are written: torch and safetensors raise types of their own for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caslie_model.errors import RunError
from mmecinstruct.core.disk_errors import explained

# Of a full disk and of limits: what else a library raises as an OSError has a message of its own.
_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE)
# How torch words it when a file cannot be written to its end.
_TORCH_WORDS = ("PytorchStreamWriter", "file write failed", "unexpected pos")


@contextmanager
def explained_disk_errors(folder: Path, kept: str) -> Iterator[None]:
    """Turn errors of a full disk, and of limits of the system, into a message with a remedy.

    Args:
        folder: Where is written.
        kept: What is kept, and how to go on.

    Yields:
        Nothing.

    Raises:
        RunError: If the disk is full, or a limit of the system is too low.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        found = disk_error(error)
        if found is None:
            raise
        raise RunError(f"{explained(found, folder)}; {kept}") from error


def disk_error(error: Exception) -> OSError | None:
    """Return the error of a full disk, or of a limit, that an error of a library stands for; None where it is another.

    Args:
        error: What the library raised.
    """
    if isinstance(error, OSError) and error.errno in _ERRORS:
        return error
    text = str(error)
    for number in _ERRORS:
        if f"(os error {number})" in text or f"{os.strerror(number)} ({number})" in text:
            return OSError(number, os.strerror(number))
    if any(words in text for words in _TORCH_WORDS):
        return OSError(errno.ENOSPC, "a file could not be written to its end")
    return None
