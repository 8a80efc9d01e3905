"""Which file is next: one that waits to be tried again, or whose host wants to be left alone, holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from mmecinstruct.web.raw_files.download import Job
from mmecinstruct.web.raw_files.places import address_of

_NAP = 0.2  # seconds between two looks at whether to stop


class JobQueue:
    """Jobs in their order, each not before its time; safe in many threads."""

    def __init__(self, jobs: Sequence[Job], stop: threading.Event) -> None:
        self._waiting: list[tuple[Job, float]] = [(job, 0.0) for job in jobs]
        self._stop = stop
        self._hosts: dict[str, float] = {}  # when each may be asked again
        self._running = 0
        self._changed = threading.Condition()

    def take(self) -> Job | None:
        """Wait for a job whose time has come; None when there will be no more."""
        with self._changed:
            while not self._stop.is_set():
                if not self._waiting and not self._running:
                    return None
                now = time.monotonic()
                times = [max(ready, self._hosts.get(host_of(job), 0.0)) for job, ready in self._waiting]
                place = next((place for place, ready in enumerate(times) if ready <= now), None)
                if place is not None:
                    self._running += 1
                    return self._waiting.pop(place)[0]
                self._changed.wait(min([_NAP, *(ready - now for ready in times)]))
            return None

    def put_back(self, job: Job, delay: float, whole_host: bool) -> None:
        """Try a taken job again after a delay (seconds), and, if asked, nothing of its host before."""
        with self._changed:
            ready = time.monotonic() + delay
            if whole_host:
                host = host_of(job)
                self._hosts[host] = max(self._hosts.get(host, 0.0), ready)
            self._waiting.append((job, ready))
            self._running -= 1
            self._changed.notify_all()

    def done(self) -> None:
        """Say that a taken job will not be put back."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


def host_of(job: Job) -> str:
    """Return the host that a job's first request goes to."""
    return address_of(job.file).partition("://")[2].partition("/")[0]
