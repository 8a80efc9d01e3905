"""The queue of downloads: a file that waits for its retry, or whose host is busy, blocks no other file."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from mmecinstruct.web.raw_files.download import Job
from mmecinstruct.web.raw_files.locations import address_of

_POLL_SECONDS = 0.2  # between two checks of the stop event


class JobQueue:
    """Jobs in their order, each not before its time. Thread-safe."""

    def __init__(self, jobs: Sequence[Job], stop: threading.Event) -> None:
        """Create a queue.

        Args:
            jobs: The jobs, all ready.
            stop: Set when no more jobs are to be taken.
        """
        self._waiting: list[tuple[Job, float]] = [(job, 0.0) for job in jobs]
        self._stop = stop
        self._hosts: dict[str, float] = {}  # the time of each host's next request
        self._running = 0
        self._changed = threading.Condition()

    def take(self) -> Job | None:
        """Wait for a job whose time has come; return None when there will be no more."""
        with self._changed:
            while not self._stop.is_set():
                if not self._waiting and not self._running:
                    return None
                now = time.monotonic()
                times = [max(ready, self._hosts.get(host_of(job), 0.0)) for job, ready in self._waiting]
                index = next((index for index, ready in enumerate(times) if ready <= now), None)
                if index is not None:
                    self._running += 1
                    return self._waiting.pop(index)[0]
                self._changed.wait(min([_POLL_SECONDS, *(ready - now for ready in times)]))
            return None

    def put_back(self, job: Job, delay: float, whole_host: bool) -> None:
        """Put back a taken job.

        Args:
            job: The job.
            delay: The seconds before the next attempt.
            whole_host: Whether no other job of its host may start before either.
        """
        with self._changed:
            ready = time.monotonic() + delay
            if whole_host:
                host = host_of(job)
                self._hosts[host] = max(self._hosts.get(host, 0.0), ready)
            self._waiting.append((job, ready))
            self._running -= 1
            self._changed.notify_all()

    def done(self) -> None:
        """Declare that a taken job will not be put back."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


def host_of(job: Job) -> str:
    """Return the host that a job's first request goes to."""
    return address_of(job.file).partition("://")[2].partition("/")[0]
