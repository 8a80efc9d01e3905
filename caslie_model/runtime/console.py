"""Messages of a run to the user, on stderr."""

from __future__ import annotations

import sys

from caslie_model.runtime.processes import is_first_process


def say(message: str) -> None:
    """Print a message on stderr, from the first of several processes only.

    Args:
        message: One line.
    """
    if is_first_process():
        print(message, file=sys.stderr, flush=True)
