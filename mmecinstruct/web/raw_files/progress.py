"""Show a pull on stderr: the plan, a bar per file with rate and remaining time, and messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mmecinstruct.core.console import say
from mmecinstruct.core.quantities import human, lasting
from mmecinstruct.core.shown import printable
from mmecinstruct.web.raw_files.plan import PullPlan
from mmecinstruct.web.raw_files.report import PulledFile

if TYPE_CHECKING:
    from rich.progress import Progress

# Seconds between two lines about one file in a log.
LOG_EVERY = 30.0


class Listener(Protocol):
    """Callbacks of a pull, called in several threads."""

    def planned(self, plan: PullPlan) -> None:
        """Take the plan, before anything is fetched."""

    def progress(self, origin: str, done: int, total: int | None) -> None:
        """Take the bytes of a file that have arrived, and the bytes of the whole file where known."""

    def note(self, origin: str, text: str) -> None:
        """Take a message about a file."""

    def finished(self, file: PulledFile) -> None:
        """Take the result of a file."""


class Silent:
    """A listener that shows nothing."""

    def planned(self, plan: PullPlan) -> None:
        """Do nothing."""

    def progress(self, origin: str, done: int, total: int | None) -> None:
        """Do nothing."""

    def note(self, origin: str, text: str) -> None:
        """Do nothing."""

    def finished(self, file: PulledFile) -> None:
        """Do nothing."""


class Log:
    """A listener that writes lines for a log file: one per file and interval, and one when the file is done."""

    def __init__(self, every: float = LOG_EVERY) -> None:
        """Create a log with `every` seconds between two lines about one file."""
        self._every = every
        self._began: dict[str, tuple[float, int]] = {}
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def planned(self, plan: PullPlan) -> None:
        """Write the plan."""
        for line in str(plan).splitlines():
            say(line)

    def progress(self, origin: str, done: int, total: int | None) -> None:
        """Write how far a file is, if the last line about it is old enough."""
        now = time.monotonic()
        with self._lock:
            began, first = self._began.setdefault(origin, (now, done))
            if now - self._logged.setdefault(origin, now) < self._every:
                return
            self._logged[origin] = now
        say(f"{origin}: {progress_line(done, total, done - first, now - began)}")

    def note(self, origin: str, text: str) -> None:
        """Write a message about a file."""
        say(f"{origin}: {text}")

    def finished(self, file: PulledFile) -> None:
        """Write the result of a file."""
        if file.status == "fetched":
            rate = human(int(file.received / max(file.seconds, 0.001)))
            say(f"{file.origin}: fetched, {human(file.size or 0)} ({rate}/s)")
        elif file.status == "found":
            say(f"{file.origin}: found, {human(file.size or 0)}")
        elif file.status in ("failed", "rejected"):
            say(f"{file.origin}: {file.status}: {file.detail}")


def progress_line(done: int, total: int | None, gained: int, seconds: float) -> str:
    """Return the progress of a file in words: bytes, rate and remaining time, as far as known.

    Args:
        done: The bytes that have arrived.
        total: The bytes of the whole file, where known.
        gained: The bytes that arrived in the measured time.
        seconds: The measured time.
    """
    line = f"{human(done)} of {human(total)}" if total is not None else human(done)
    rate = gained / seconds if seconds > 0 else 0.0
    line += f", {human(int(rate))}/s"
    if total is not None and rate > 0:
        line += f", {lasting((total - done) / rate)} left"
    return line


class _Bars(Log):
    """Bars on a terminal, and the log's lines above them."""

    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._rows: dict[str, int] = {}

    def progress(self, origin: str, done: int, total: int | None) -> None:
        with self._lock:
            if origin not in self._rows:
                self._rows[origin] = int(self._bars.add_task(printable(origin), total=total, completed=done))
            self._bars.update(self._rows[origin], completed=done, total=total)  # type: ignore[arg-type]

    def finished(self, file: PulledFile) -> None:
        super().finished(file)
        with self._lock:
            if file.origin in self._rows:
                self._bars.update(self._rows[file.origin], visible=False)  # type: ignore[arg-type]


@contextmanager
def show_pull() -> Iterator[Listener]:
    """Show a pull: bars on a terminal, lines in a log."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Log()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:
        yield _Bars(bars)
