"""The memory of a process and of all that it started, looked at again and again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Seen = list[tuple[float, int]]  # (time since 1970, bytes of all processes together)


def processes_below(pid: int) -> Iterator[int]:
    """Yield a process and all that it started, as far as they are there."""
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
    """Return the memory of a process, shared pages in parts; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def watched(pid: int, every: float) -> Iterator[Seen]:
    """Give a list that grows every so many seconds; what happens between is not seen."""
    seen: Seen = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            seen.append((time.time(), sum(map(proportional_bytes, set(processes_below(pid))))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
