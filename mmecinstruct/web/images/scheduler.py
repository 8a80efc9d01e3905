"""Which request goes next: one queue per host, and a heap of the times at which hosts may be asked again.

Threads take from hosts that are ready. A host that waits, for its rate, a Retry-After or a back-off, is an
entry in the heap and holds up neither a thread nor another host.

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
from mmecinstruct.web.outcome import TRANSIENT, Failure


@dataclass(slots=True, eq=False)
class Job:
    """A URL on its way through redirects and retries."""

    url: str  # as asked for
    address: WebAddress  # of the present hop
    robots_of: WebAddress | None = None  # of a request for robots.txt: whose rules it brings
    visited: tuple[str, ...] = ()  # earlier hops
    attempts: int = 0  # failed requests so far
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a thread does next: a request, a local task, or the refusal of a request."""

    job: Job | None = None
    refusal: Failure | None = None
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
    closed: Failure | None = None
    queued: bool = False


class Scheduler:
    """Hands out turns to threads; every method may be called by any of them."""

    def __init__(
        self,
        settings: FetchSettings,
        rules: Mapping[str, RobotsRules] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """rules: of origins whose robots.txt need not be asked for."""
        self._settings = settings
        self._clock = clock
        self._condition = threading.Condition()
        self._hosts: dict[str, _Host] = {}
        self._ready: list[tuple[float, int, _Host]] = []  # heap by time
        self._at_once: deque[Turn] = deque()  # refusals and local tasks
        self._rules = dict(rules or {})
        self._numbers = itertools.count()
        self._alarm = float("inf")  # the time that some thread sleeps until
        self._stopped = False

    def add(self, job: Job, *, first: bool = False) -> None:
        """Queue a request at its host; first: before what waits there, as for a redirect."""
        with self._condition:
            self._admit(self._host(job), job, first)

    def add_task(self, task: Callable[[], None]) -> None:
        """Queue something that asks no host."""
        with self._condition:
            self._at_once.append(Turn(task=task))
            self._condition.notify()

    def take(self, *, wait: bool = True) -> Turn | None:
        """Return the next turn; None once stopped, or at once when nothing is ready and `wait` is false."""
        with self._condition:
            while not self._stopped:
                turn = self._next_turn()
                if turn is not None:
                    if self._at_once or (self._ready and self._ready[0][0] < self._alarm):
                        self._condition.notify()  # someone else is to do it, or to sleep until it is due
                    return turn
                if not wait:
                    return None
                self._sleep()
            return None

    def release(self, job: Job, *, answered: bool) -> None:
        """Give the connection back after an answer, or after a failure that is the job's own and final."""
        with self._condition:
            host = self._host(job)
            if answered:
                host.failures = 0
            self._landed(host)

    def failed(self, job: Job, *, again: float | None, host_delay: float | None) -> None:
        """Give the connection back after a failure.

        again: seconds after which the job is queued again, None where that was its last try. host_delay: seconds
        for which the host is left alone, None where the failure is not the host's.
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
                told = f"{host.name} failed {host.failures} times in a row"
                self._close(host, Failure(TRANSIENT, "host_failing", told))
            if again is not None and host.closed is not None:
                self._refuse(job, host.closed)
            elif again is not None:
                heapq.heappush(host.delayed, (now + again, next(self._numbers), job))
            self._landed(host)

    def close_host(self, job: Job, failure: Failure) -> None:
        """Refuse everything that waits at the job's host, and whatever comes."""
        with self._condition:
            self._close(self._host(job), failure)

    def failures(self, job: Job) -> int:
        """Return how often in a row the job's host failed."""
        with self._condition:
            return self._host(job).failures

    def set_rules(self, robots: WebAddress, rules: RobotsRules) -> None:
        """Let the jobs of an origin go on under the rules that its robots.txt brought."""
        with self._condition:
            self._rules[robots.origin] = rules
            host = self._host_named(robots.host)
            host.next_start = max(host.next_start, self._clock() + rules.crawl_delay)
            for job in host.without_rules.pop(robots.origin, ()):
                self._admit(host, job, False)

    def stop(self) -> None:
        """Wake all threads; no more turns are given."""
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
            self._refuse(job, host.closed)
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
            elif (refusal := rules.refusal(job.address.url)) is not None:
                self._refuse(job, refusal)
                return
            else:
                host.interval = max(host.interval, rules.crawl_delay)
        if first:
            host.waiting.appendleft(job)
        else:
            host.waiting.append(job)
        self._enqueue(host)

    def _refuse(self, job: Job, failure: Failure) -> None:
        self._at_once.append(Turn(job, failure))
        self._condition.notify()

    def _next_turn(self) -> Turn | None:
        now = self._clock()
        while self._ready and self._ready[0][0] <= now:
            host = heapq.heappop(self._ready)[2]
            host.queued = False
            due = self._due(host)
            if due is None or due > now:  # a back-off came after the host was queued
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
        """Return the time from which a request of a host may start, None while it has none to give."""
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

    def _close(self, host: _Host, failure: Failure) -> None:
        host.closed = failure
        jobs = [*host.waiting, *(entry[2] for entry in sorted(host.delayed, key=lambda entry: entry[:2]))]
        jobs += [job for waiting in host.without_rules.values() for job in waiting]
        host.waiting.clear()
        host.delayed.clear()
        host.without_rules.clear()
        for job in jobs:
            self._refuse(job, failure)

    def _sleep(self) -> None:
        """Wait for news, and for the next host's time unless another thread already does."""
        due = self._ready[0][0] if self._ready else float("inf")
        if due >= self._alarm:
            self._condition.wait()
            return
        self._alarm = due
        self._condition.wait(max(0.0, due - self._clock()))
        if self._alarm == due:
            self._alarm = float("inf")
