"""Messages of a run to the user, on stderr."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core import console

_NOISY = "bitsandbytes"


def say(message: str) -> None:
    """Print a message on stderr, from the first of several processes only.

    Args:
        message: One line.
    """
    if is_first_process():
        console.say(message)


@contextmanager
def quiet_libraries_meanwhile() -> Iterator[None]:
    """Keep libraries' notices for developers, and their progress bars in logs, away from the user of a function.

    What a program has set itself stays, and so does everything after the function.

    Yields:
        Nothing.
    """
    from transformers.utils import logging as transformers_logging

    verbosity, has_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    noisy = logging.getLogger(_NOISY)
    level = noisy.level
    is_default = verbosity == logging.WARNING
    hides_bars = has_bars and not sys.stderr.isatty()
    if is_default:
        transformers_logging.set_verbosity_error()
    if hides_bars:
        transformers_logging.disable_progress_bar()
    if level == logging.NOTSET:
        noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
            yield
    finally:
        noisy.setLevel(level)
        if is_default:
            transformers_logging.set_verbosity(verbosity)
        if hides_bars:
            transformers_logging.enable_progress_bar()
