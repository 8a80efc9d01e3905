"""The work of a thread: make requests, follow redirects after checks, retry, store images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from mmecinstruct.core.hashing import hash_fraction
from mmecinstruct.core.shown import printable, published_url, shown_text, shown_url
from mmecinstruct.web.addresses import check_url
from mmecinstruct.web.images.mailbox import Mailbox
from mmecinstruct.web.images.robots import MAX_ROBOTS_BYTES, RobotsRules, rules_from_answer
from mmecinstruct.web.images.scheduler import Job, Scheduler
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.images.store import ImageStore
from mmecinstruct.web.images.takedowns import Takedowns
from mmecinstruct.web.images.transport import Failed, Received, Redirected, Transport
from mmecinstruct.web.outcome import FETCHED, PERMANENT, TRANSIENT, FetchFailure, Outcome

# Returns a reason to try the product's next image, or None for an accepted one.
Accept = Callable[[bytes], str | None]


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a URL.

    Attributes:
        outcome: The row for the ledger.
        rejection: Why `accept` rejected the image.
        stored: Whether an earlier run fetched the image.
    """

    outcome: Outcome
    rejection: str | None = None
    stored: bool = False


@dataclass(frozen=True, slots=True)
class RobotsFound:
    """A robots.txt to store for later runs."""

    origin: str
    http_status: int
    content: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A URL whose stored bytes are missing or damaged, so that it has to be requested again."""

    url: str


Message = Done | RobotsFound | Lost | BaseException


@dataclass(frozen=True, slots=True)
class Worker:
    """The body of every thread; all threads share its fields."""

    settings: FetchSettings
    scheduler: Scheduler
    transport: Transport
    store: ImageStore
    accept: Accept | None
    takedowns: Takedowns
    messages: Mailbox[Message]

    def run(self) -> None:
        """Take turns until the scheduler stops; an exception goes to the messages and ends the thread."""
        try:
            while (turn := self.scheduler.take()) is not None:
                if turn.task is not None:
                    turn.task()
                elif turn.job is not None and turn.failure is not None:
                    self._finish(turn.job, turn.failure)
                elif turn.job is not None:
                    self._request(turn.job)
        except BaseException as error:  # noqa: BLE001 - the thread that started this one raises it
            self.messages.put(error)

    def check_stored(self, outcome: Outcome) -> None:
        """Apply `accept` to an image that an earlier run fetched."""
        content = self.store.get(outcome.sha256 or "")
        if content is None:
            self.messages.put(Lost(outcome.url))
        else:
            rejection = self.accept(content) if self.accept else None
            self.messages.put(Done(outcome, rejection, stored=True))

    def _request(self, job: Job) -> None:
        first_bytes = None if job.robots_of is None else MAX_ROBOTS_BYTES
        answer = self.transport.get(job.address, job.attempts, first_bytes=first_bytes)
        if isinstance(answer, Failed):
            self._failed(job, answer)
            return
        self.scheduler.release(job, answered=True)
        if isinstance(answer, Redirected):
            self._redirected(job, answer)
        elif job.robots_of is not None:
            self._found_robots(job, answer.http_status, answer.content.decode("utf-8", "replace"))
        else:
            self._received(job, answer)

    def _redirected(self, job: Job, answer: Redirected) -> None:
        job.visited = (*job.visited, job.address.url)
        address = check_url(answer.url, self.settings.allowed_networks)
        if isinstance(address, FetchFailure):
            failure = FetchFailure(
                PERMANENT, address.reason, f"redirected to {shown_url(answer.url)}: {address.detail}"
            )
        elif address.url in job.visited:
            failure = FetchFailure(
                PERMANENT, "redirect_loop", f"redirected to {shown_url(address.url)} again"
            )
        elif len(job.visited) > self.settings.max_redirects:
            failure = FetchFailure(
                PERMANENT, "too_many_redirects", f"more than {self.settings.max_redirects}"
            )
        elif self.takedowns.is_url(address.url):
            failure = FetchFailure(PERMANENT, "taken_down", "redirected to a URL on the takedown list")
            # The row keeps the target, so that the URL is requested again once the entry is removed from the list.
            job.address = address
        else:
            job.address = address
            self.scheduler.add(job, first=True)
            return
        job.attempts += 1
        self._finish(job, failure, answer.http_status)

    def _failed(self, job: Job, failed: Failed) -> None:
        settings, failure = self.settings, failed.failure
        job.attempts += 1
        if failed.closes_host:
            self.scheduler.close_host(job, failure)
        if failure.status == PERMANENT or failed.closes_host:
            self.scheduler.release(job, answered=failed.answered)
            self._finish(job, failure, failed.http_status, failed.size)
            return
        wanted = failed.retry_after
        if wanted is not None and wanted > settings.max_retry_after:
            detail = (
                f"the host asks to wait longer than fetch.max_retry_after ({settings.max_retry_after:g} s)"
            )
            failure = FetchFailure(TRANSIENT, "retry_later", detail)
            self.scheduler.close_host(job, failure)
            self.scheduler.release(job, answered=False)
            self._finish(job, failure, failed.http_status)
            return
        delay = backoff(settings, job.url, job.attempts) if wanted is None else wanted
        last = job.attempts >= min(settings.retries + 1, failed.tries or settings.retries + 1)
        host_delay = wanted
        if failed.blames_host and wanted is None:
            host_delay = backoff(settings, job.address.host, self.scheduler.failures(job) + 1)
        self.scheduler.failed(job, again=None if last else delay, host_delay=host_delay)
        if last:
            self._finish(job, failure, failed.http_status)

    def _received(self, job: Job, answer: Received) -> None:
        sha256 = hashlib.sha256(answer.content).hexdigest()
        outcome = Outcome(
            job.url,
            FETCHED,
            sha256=sha256,
            bytes=len(answer.content),
            content_type=answer.content_type,
            http_status=answer.http_status,
            final_url=published_url(job.address.url, len(job.address.url) * 3),
            attempts=job.attempts + 1,
        )
        if self.takedowns.is_image(sha256):
            detail = "the image is on the takedown list"
            failure = FetchFailure(PERMANENT, "taken_down", detail)
            self.messages.put(Done(_failure_outcome(job, failure, answer.http_status, None, sha256)))
            return
        self.store.put(answer.content, sha256)
        self.messages.put(Done(outcome, self.accept(answer.content) if self.accept else None))

    def _finish(
        self, job: Job, failure: FetchFailure, http_status: int | None = None, size: int | None = None
    ) -> None:
        if job.robots_of is None:
            self.messages.put(Done(_failure_outcome(job, failure, http_status, size, None)))
        elif http_status is not None and 300 <= http_status < 500 and failure.status == PERMANENT:
            self._found_robots(job, http_status, "")
        elif failure.reason in ("private_address", "unknown_host"):
            self.scheduler.set_rules(job.robots_of, RobotsRules(failure=failure))
        else:
            detail = (
                f"no response to {shown_url(job.robots_of.url)}, so no request is allowed: {failure.detail}"
            )
            unavailable = FetchFailure(TRANSIENT, "robots_unavailable", detail)
            self.scheduler.set_rules(job.robots_of, RobotsRules(failure=unavailable))

    def _found_robots(self, job: Job, http_status: int, text: str) -> None:
        assert job.robots_of is not None
        self.messages.put(RobotsFound(job.robots_of.origin, http_status, text))
        self.scheduler.set_rules(job.robots_of, rules_from_answer(http_status, text, self.settings))


def backoff(settings: FetchSettings, name: str, failures: int) -> float:
    """Return the seconds to wait after so many failures: doubled each time, capped, and spread by half either way.

    The spread is a hash draw, so that URLs that failed together are not retried together.

    Args:
        settings: Base and cap of the back-off.
        name: The URL or host that failed.
        failures: The number of failures so far, from 1.
    """
    whole = min(settings.backoff_cap, settings.backoff_base * 2.0 ** min(failures - 1, 60))
    return whole * (0.5 + hash_fraction(0, "fetch back-off", name, str(failures)))


def _failure_outcome(
    job: Job, failure: FetchFailure, http_status: int | None, size: int | None, sha256: str | None
) -> Outcome:
    return Outcome(
        job.url,
        failure.status,
        failure.reason,
        printable(shown_text(failure.detail)),
        sha256=sha256,
        bytes=size,
        http_status=http_status,
        final_url=published_url(job.address.url, len(job.address.url) * 3),
        attempts=job.attempts,
    )
