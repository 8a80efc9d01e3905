"""What a person sees of a pull, on stderr: the plan, a bar per file with rate and remaining time, and what happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mmecinstruct.core.console import say
from mmecinstruct.core.quantities import human, lasting
from mmecinstruct.web.raw_files.plan import PullPlan
from mmecinstruct.web.raw_files.report import PulledFile

if TYPE_CHECKING:
    from rich.progress import Progress

LOG_EVERY = 30.0  # seconds between two lines about one file in a log


class Listener(Protocol):
    """Is told what a pull does, from several threads."""

    def planned(self, plan: PullPlan) -> None:
        """Before anything is fetched."""

    def progress(self, origin: str, done: int, total: int | None) -> None:
        """Bytes of a file that are there, and bytes of the whole where known."""

    def note(self, origin: str, text: str) -> None:
        """What happened to a file on its way."""

    def finished(self, file: PulledFile) -> None:
        """What became of a file."""


class Silent:
    """Tells nobody."""

    def planned(self, plan: PullPlan) -> None: ...

    def progress(self, origin: str, done: int, total: int | None) -> None: ...

    def note(self, origin: str, text: str) -> None: ...

    def finished(self, file: PulledFile) -> None: ...


class Log:
    """Lines for a log file: one per file every half a minute, and one when it is done."""

    def __init__(self, every: float = LOG_EVERY) -> None:
        self._every = every
        self._began: dict[str, tuple[float, int]] = {}
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def planned(self, plan: PullPlan) -> None:
        say(str(plan))

    def progress(self, origin: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        with self._lock:
            began, first = self._began.setdefault(origin, (now, done))
            if now - self._told.setdefault(origin, now) < self._every:
                return
            self._told[origin] = now
        say(f"{origin}: {progress_line(done, total, done - first, now - began)}")

    def note(self, origin: str, text: str) -> None:
        say(f"{origin}: {text}")

    def finished(self, file: PulledFile) -> None:
        if file.status == "fetched":
            rate = human(int(file.received / max(file.seconds, 0.001)))
            say(f"{file.origin}: fetched, {human(file.size or 0)} ({rate}/s)")
        elif file.status == "found":
            say(f"{file.origin}: found, {human(file.size or 0)}")
        elif file.status in ("failed", "rejected"):
            say(f"{file.origin}: {file.status}: {file.detail}")


def progress_line(done: int, total: int | None, gained: int, seconds: float) -> str:
    """Return how far a file is: bytes, rate and remaining time, as far as known."""
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
                self._rows[origin] = int(self._bars.add_task(origin, total=total, completed=done))
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
