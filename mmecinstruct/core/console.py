"""Messages of a command on stderr, and its reading of typed lists. Shared by both commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmecinstruct.core.progress import Report

CONTINUES = "run the same command again: it continues where it stopped"


def say(text: str) -> None:
    """Print a message, as opposed to data."""
    print(text, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text of another program without characters that control a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


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
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        rows: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in rows:
                rows[stage] = int(progress.add_task(stage, total=total))
            progress.update(rows[stage], completed=done, visible=done < total)  # type: ignore[arg-type]

        yield show
