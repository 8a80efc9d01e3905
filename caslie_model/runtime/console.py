"""What a training tells a person, on stderr."""

from __future__ import annotations

import sys

from caslie_model.runtime.processes import is_first_process


def say(message: str) -> None:
    """Tell the user what goes on, on stderr; of several processes the first alone does."""
    if is_first_process():
        print(message, file=sys.stderr, flush=True)
