"""Messages of a command on stderr, and its reading of typed lists. Shared by both commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmecinstruct.core.shown import printable, shown_text

if TYPE_CHECKING:
    from logging import LogRecord

    from mmecinstruct.core.progress import Report

CONTINUES = "run the same command again: it continues where it stopped"


def say(text: str) -> None:
    """Print a message, as opposed to data, in the form of `message_text`."""
    print(message_text(text), file=sys.stderr, flush=True)


def message_text(text: str) -> str:
    """Return a message as a terminal may get it.

    URLs are without secrets, and no character controls the terminal. Lines after the first are indented, so that a name
    or an error from outside cannot pretend to be a message of its own.
    """
    first, *others = shown_text(str(text)).split("\n")
    lines = [first, *(line if line.startswith("  ") or not line else f"  {line}" for line in others)]
    return "\n".join(printable(line.removesuffix("\r"), keep="\t") for line in lines)


def show(data: object) -> None:
    """Print data on stdout; on a terminal, characters that control it are escaped as in JSON, which stays JSON."""
    text = str(data)
    print(printable(text, keep="\n\t") if sys.stdout.isatty() else text)


def comma_list(text: str) -> tuple[str, ...]:
    """Return the names of a list that is separated by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


@contextmanager
def tell_what_is_kept(message: str = CONTINUES) -> Iterator[None]:
    """Say on Ctrl-C, which ends the command with exit status 130, that the work so far is kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        say(f"interrupted; {message}")
        error.args = (message,)
        raise


def quiet_libraries() -> None:
    """Keep libraries' notices for developers, and their progress bars in log files, away from the user.

    Works through the environment, before the libraries are loaded.
    """
    import logging
    import os
    import warnings

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # It says which address of the Hub it tries again, with a user and a password where the address has them.
    for name in ("huggingface_hub.utils._http", "huggingface_hub.hf_api"):
        logging.getLogger(name).addFilter(_without_secrets)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _without_secrets(record: LogRecord) -> bool:
    """Write a library's message as `shown_text` gives it."""
    record.msg, record.args = shown_text(record.getMessage()), ()
    return True


@contextmanager
def show_progress() -> Iterator[Report]:
    """Show one line per running step on a terminal; in a log, one line per finished step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def log(stage: str, done: int, total: int) -> None:
            if done == total:
                say(f"{stage}: {total}/{total}")

        yield log
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        rows: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in rows:
                rows[stage] = int(progress.add_task(printable(stage), total=total))
            progress.update(rows[stage], completed=done, visible=done < total)  # type: ignore[arg-type]

        yield show
