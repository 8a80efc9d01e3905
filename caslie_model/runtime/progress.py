"""Progress on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from caslie_model.runtime.processes import is_first_process

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Shows how much of a total is done, while its context lasts; of several processes in the first only.

    One within the context of another shows nothing: two bars would write over each other.

    Args:
        title: Name of the work.
        total: How many there are.
        unit: Name of the counted things.
    """

    _outermost: Progress | None = None

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self._bar: Any = None
        self._task: Any = None
        self._last = self._start = time.monotonic()
        self._silent = not is_first_process()

    def __enter__(self) -> Progress:
        if Progress._outermost is None:
            Progress._outermost = self
        else:
            self._silent = True
        if sys.stderr.isatty() and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, note="")
        return self

    def update(self, done: int, note: str = "") -> None:
        """Show the state.

        Args:
            done: How many are done.
            note: Shown beside it.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        if self._silent:
            return
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or (done == self.total and now - self._start > 1):
            self._last = now
            line = f"{self.title}: {done} of {self.total} {self.unit}, {now - self._start:.0f} s"
            print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Progress._outermost is self:
            Progress._outermost = None
        if self._bar is not None:
            self._bar.stop()
