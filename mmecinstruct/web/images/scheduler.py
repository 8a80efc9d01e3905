"""Schedule requests: one queue per host, and a heap of the times at which hosts may get the next request.

Threads take jobs of hosts that are ready. A host that waits for its rate, a Retry-After or a back-off is an entry in
the heap; it blocks neither a thread nor another host.

    add ──► waiting for robots.txt ──► waiting ──► take ──► release
                                          ▲                    │
                                          └── delayed ◄── retry┘
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmecinstruct.web.addresses import WebAddress
from mmecinstruct.web.images.robots import ROBOTS_PATH, RobotsRules
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import TRANSIENT, FetchFailure


@dataclass(slots=True, eq=False)
class Job:
    """A URL with its state over redirects and retries.

    Attributes:
        url: The URL as wanted.
        address: The address of the current request.
        robots_of: For a request for robots.txt, the address whose rules it gives.
        visited: The URLs of earlier redirects.
        attempts: The number of failed requests so far.
        started: The time at which the current request started.
    """

    url: str
    address: WebAddress
    robots_of: WebAddress | None = None
    visited: tuple[str, ...] = ()
    attempts: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The next work of a thread: a request, a local task, or the end of a job that failed without a request.

    Attributes:
        job: The job to request or to end.
        failure: The failure of the job, where no request may be made.
        task: The local task.
    """

    job: Job | None = None
    failure: FetchFailure | None = None
    task: Callable[[], None] | None = None


@dataclass(slots=True, eq=False)
class _Host:
    name: str
    waiting: deque[Job] = field(default_factory=deque)
    delayed: list[tuple[float, int, Job]] = field(default_factory=list)  # heap by time
    without_rules: dict[str, list[Job]] = field(default_factory=dict)  # by origin
    in_flight: int = 0
    interval: float = 0.0  # seconds between the starts of two requests
    next_start: float = 0.0  # by the rate
    not_before: float = 0.0  # by Retry-After and back-off
    failures: int = 0  # in a row
    failed_at: float = -1.0
    closed: FetchFailure | None = None
    queued: bool = False


class Scheduler:
    """Gives turns to threads. Thread-safe."""

    def __init__(
        self,
        settings: FetchSettings,
        rules: Mapping[str, RobotsRules] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create an empty schedule.

        Args:
            settings: Rates, limits and patience.
            rules: Known rules, by origin; their robots.txt is not requested.
            clock: Returns the present time in seconds.
        """
        self._settings = settings
        self._clock = clock
        self._condition = threading.Condition()
        self._hosts: dict[str, _Host] = {}
        self._ready: list[tuple[float, int, _Host]] = []  # heap by time
        self._at_once: deque[Turn] = deque()  # failures and local tasks
        self._rules = dict(rules or {})
        self._numbers = itertools.count()
        self._alarm = float("inf")  # the time that some thread sleeps until
        self._stopped = False

    def add(self, job: Job, *, first: bool = False) -> None:
        """Queue a request at its host.

        Args:
            job: The request.
            first: Put it before the host's other jobs, as for a redirect.
        """
        with self._condition:
            self._admit(self._host(job), job, first)

    def add_task(self, task: Callable[[], None]) -> None:
        """Queue a local task, which makes no request."""
        with self._condition:
            self._at_once.append(Turn(task=task))
            self._condition.notify()

    def take(self, *, wait: bool = True) -> Turn | None:
        """Return the next turn; None once stopped, or when nothing is ready and `wait` is false."""
        with self._condition:
            while not self._stopped:
                turn = self._next_turn()
                if turn is not None:
                    if self._at_once or (self._ready and self._ready[0][0] < self._alarm):
                        # Another thread has to take the next turn, or sleep until it is due.
                        self._condition.notify()
                    return turn
                if not wait:
                    return None
                self._sleep()
            return None

    def release(self, job: Job, *, answered: bool) -> None:
        """End a request after a response, or after a final failure that is not the host's.

        Args:
            job: The request.
            answered: Whether the host responded as a working host does.
        """
        with self._condition:
            host = self._host(job)
            if answered:
                host.failures = 0
            self._landed(host)

    def failed(self, job: Job, *, again: float | None, host_delay: float | None) -> None:
        """End a request after a failure.

        Args:
            job: The request.
            again: Seconds after which the job is queued again; None after its last attempt.
            host_delay: Seconds without requests to the host; None where the failure is not the host's.
        """
        with self._condition:
            host, now = self._host(job), self._clock()
            # Requests that were in flight together fail together: they count once.
            if job.started >= host.failed_at:
                host.failures += 1
                host.failed_at = now
            if host_delay is not None:
                host.not_before = max(host.not_before, now + host_delay)
            if host.failures >= self._settings.host_failures and host.closed is None:
                detail = f"{host.name} failed {host.failures} times in a row"
                self._close(host, FetchFailure(TRANSIENT, "host_failing", detail))
            if again is not None and host.closed is not None:
                self._fail(job, host.closed)
            elif again is not None:
                heapq.heappush(host.delayed, (now + again, next(self._numbers), job))
            self._landed(host)

    def close_host(self, job: Job, failure: FetchFailure) -> None:
        """Let all waiting and later jobs of the job's host fail with `failure`."""
        with self._condition:
            self._close(self._host(job), failure)

    def failures(self, job: Job) -> int:
        """Return how many times in a row the job's host failed."""
        with self._condition:
            return self._host(job).failures

    def set_rules(self, robots: WebAddress, rules: RobotsRules) -> None:
        """Continue the jobs of an origin under the rules of its robots.txt."""
        with self._condition:
            self._rules[robots.origin] = rules
            host = self._host_named(robots.host)
            host.next_start = max(host.next_start, self._clock() + rules.crawl_delay)
            for job in host.without_rules.pop(robots.origin, ()):
                self._admit(host, job, False)

    def stop(self) -> None:
        """Wake all threads and give no more turns."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    # Below, the lock is held.

    def _host(self, job: Job) -> _Host:
        return self._host_named(job.address.host)

    def _host_named(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, interval=1.0 / self._settings.requests_per_second)
        return host

    def _admit(self, host: _Host, job: Job, first: bool) -> None:
        if host.closed is not None:
            self._fail(job, host.closed)
            return
        if job.robots_of is None and self._settings.honour_robots:
            origin = job.address.origin
            rules = self._rules.get(origin)
            if rules is None:
                jobs = host.without_rules.setdefault(origin, [])
                jobs.append(job)
                if len(jobs) > 1:
                    return
                robots = job.address.sibling(ROBOTS_PATH)
                job, first = Job(robots.url, robots, robots), True
            elif (failure := rules.failure_for(job.address.url)) is not None:
                self._fail(job, failure)
                return
            else:
                host.interval = max(host.interval, rules.crawl_delay)
        if first:
            host.waiting.appendleft(job)
        else:
            host.waiting.append(job)
        self._enqueue(host)

    def _fail(self, job: Job, failure: FetchFailure) -> None:
        self._at_once.append(Turn(job, failure))
        self._condition.notify()

    def _next_turn(self) -> Turn | None:
        now = self._clock()
        while self._ready and self._ready[0][0] <= now:
            host = heapq.heappop(self._ready)[2]
            host.queued = False
            due = self._due(host)
            if due is None or due > now:  # a back-off began after the host was queued
                self._enqueue(host)
                continue
            while host.delayed and host.delayed[0][0] <= now:
                host.waiting.appendleft(heapq.heappop(host.delayed)[2])
            job = host.waiting.popleft()
            job.started = now
            host.in_flight += 1
            host.next_start = now + host.interval
            self._enqueue(host)
            return Turn(job)
        return self._at_once.popleft() if self._at_once else None

    def _due(self, host: _Host) -> float | None:
        """Return the time from which a host's next request may start; None while there is none."""
        if host.in_flight >= self._settings.connections_per_host:
            return None
        gate = max(host.next_start, host.not_before)
        if host.waiting:
            return gate
        return max(gate, host.delayed[0][0]) if host.delayed else None

    def _enqueue(self, host: _Host) -> None:
        if host.queued:
            return
        due = self._due(host)
        if due is not None:
            host.queued = True
            heapq.heappush(self._ready, (due, next(self._numbers), host))
            self._condition.notify()

    def _landed(self, host: _Host) -> None:
        host.in_flight -= 1
        self._enqueue(host)

    def _close(self, host: _Host, failure: FetchFailure) -> None:
        host.closed = failure
        jobs = [*host.waiting, *(entry[2] for entry in sorted(host.delayed, key=lambda entry: entry[:2]))]
        jobs += [job for waiting in host.without_rules.values() for job in waiting]
        host.waiting.clear()
        host.delayed.clear()
        host.without_rules.clear()
        for job in jobs:
            self._fail(job, failure)

    def _sleep(self) -> None:
        """Wait for a change, and for the next host's time unless another thread already does."""
        due = self._ready[0][0] if self._ready else float("inf")
        if due >= self._alarm:
            self._condition.wait()
            return
        self._alarm = due
        self._condition.wait(max(0.0, due - self._clock()))
        if self._alarm == due:
            self._alarm = float("inf")
