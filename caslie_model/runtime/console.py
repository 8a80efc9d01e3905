"""Messages of a run to the user, on stderr."""

from __future__ import annotations

from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core import console


def say(message: str) -> None:
    """Print a message on stderr, from the first of several processes only.

    Args:
        message: One line.
    """
    if is_first_process():
        console.say(message)
