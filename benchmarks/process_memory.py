"""Sample the memory of a process and all its descendants."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# (seconds since 1970, bytes of all processes together)
Measurements = list[tuple[float, int]]


def processes_below(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of its running descendants."""
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from processes_below(int(child))


def proportional_bytes(pid: int) -> int:
    """Return the memory of a process in bytes, shared pages in proportion; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def watched(pid: int, every: float) -> Iterator[Measurements]:
    """Yield a list of samples that grows while the context is open; peaks between samples are missed.

    Args:
        pid: The process.
        every: Seconds between samples.
    """
    measured: Measurements = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            measured.append((time.time(), sum(map(proportional_bytes, set(processes_below(pid))))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield measured
    finally:
        over.set()
        watcher.join()
