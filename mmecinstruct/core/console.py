"""What the command line tells a person, on stderr: progress, and what a build did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmecinstruct.core.progress import Report


def say(text: str) -> None:
    """Print talk, as opposed to data."""
    print(text, file=sys.stderr)


def printable(text: str) -> str:
    """Return somebody else's words without what a terminal would obey instead of show."""
    return "".join(character if character.isprintable() else " " for character in text)


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
