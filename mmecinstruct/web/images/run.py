"""Fetch the images of many products: candidates in order, each URL once, every outcome in the ledger."""

from __future__ import annotations

import fcntl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.errors import RecipeError, WorkspaceError
from mmecinstruct.web.addresses import Lookup, Resolver, WebAddress, check_url, look_up
from mmecinstruct.web.images.ledger import SNAPSHOT, Ledger
from mmecinstruct.web.images.mailbox import Mailbox
from mmecinstruct.web.images.robots import rules_from_answer
from mmecinstruct.web.images.scheduler import Job, Scheduler
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.images.store import ImageStore
from mmecinstruct.web.images.takedowns import Takedowns
from mmecinstruct.web.images.transport import Transport
from mmecinstruct.web.images.worker import Accept, Done, Lost, Message, RobotsFound, Worker
from mmecinstruct.web.outcome import FETCHED, TRANSIENT, FetchFailure, Outcome

FETCHED_FOLDER = "fetched"  # below the workspace
_TICK = 0.25  # seconds between two checks of the deadlines
# How long an interrupted run waits for its threads.
_JOIN_SECONDS = 5.0

# (groups that are done, all groups)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """The outcome of one product's candidates.

    Attributes:
        tried: The URLs that were tried, in order; later candidates were not requested.
        accepted: The tried URLs whose images were received and accepted.
    """

    tried: tuple[str, ...]
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class FetchReport:
    """The result of a run.

    Attributes:
        groups: The outcome of each group, in their order.
        snapshot: The ledger's rows of the tried URLs (`ledger.SNAPSHOT`) with the column `refused`: the reason of
            `accept`, or "".
        counts: The number of tried URLs, by `fetched` or the reason of their failure.
        asked: The number of URLs that this run requested.
        received: The bytes that this run received.
        withheld: The number of URLs that were left out because of the takedown list.
    """

    groups: list[GroupOutcome]
    snapshot: pa.Table
    counts: dict[str, int]
    asked: int
    received: int
    withheld: int


def fetch_groups(
    groups: Sequence[Sequence[str]],
    settings: FetchSettings,
    folder: Path,
    *,
    wanted: int | None = None,
    accept: Accept | None = None,
    takedowns: Takedowns | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    lookup: Lookup = look_up,
) -> FetchReport:
    """Fetch for each group its first `wanted` images that arrive and are accepted.

    Images in the store are not requested again. After an interruption, the next run continues with the missing ones.

    Args:
        groups: The candidate URLs of each product, best first.
        settings: The settings of the requests.
        folder: The folder of store and ledger.
        wanted: The number of images per group; by default the recipe's `images_per_product`.
        accept: Called with the content of an image, in many threads. Returns why the image is rejected, so that the
            next candidate is tried, or None.
        takedowns: The takedown list.
        retry_failed: Request again what failed transiently in an earlier run.
        progress: Called with (groups that are done, all groups).
        lookup: Resolves host names.

    Raises:
        RecipeError: Fetching is not enabled.
        WorkspaceError: Another process fetches into the folder, store or ledger cannot be written, or the ledger is
            damaged.
    """
    if not settings.enabled:
        raise RecipeError("fetch.enabled is false: the recipe allows no requests for images")
    with _locked(folder), closing(Ledger(folder)) as ledger:
        run = _Run(
            settings,
            ledger,
            ImageStore(folder),
            wanted=wanted or settings.images_per_product,
            accept=accept,
            takedowns=takedowns or Takedowns(),
            retry_failed=retry_failed,
            lookup=lookup,
        )
        try:
            return run.fetch(groups, progress)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise WorkspaceError(
                f"{folder}: {error.strerror or error}{where}; free space or repair it and run again: fetched "
                "images are kept"
            ) from error


@dataclass(slots=True)
class _Group:
    index: int
    urls: Sequence[str]
    tried: int = 0
    accepted: list[str] = field(default_factory=list)


class _Run:
    """One call of `fetch_groups`. Everything here runs in the calling thread, which alone writes the ledger."""

    def __init__(
        self,
        settings: FetchSettings,
        ledger: Ledger,
        store: ImageStore,
        *,
        wanted: int,
        accept: Accept | None,
        takedowns: Takedowns,
        retry_failed: bool,
        lookup: Lookup,
    ) -> None:
        self._settings, self._ledger, self._store = settings, ledger, store
        self._wanted, self._takedowns, self._retry_failed = wanted, takedowns, retry_failed
        self._asks_accept = accept is not None
        rules = {
            origin: rules_from_answer(status, text, settings)
            for origin, (status, text) in ledger.robots(settings.robots_max_age).items()
        }
        self._scheduler = Scheduler(settings, rules)
        self._transport = Transport(settings, Resolver(settings.allowed_networks, lookup))
        self._messages: Mailbox[Message] = Mailbox()
        self._worker = Worker(
            settings,
            self._scheduler,
            self._transport,
            store,
            accept,
            takedowns,
            self._messages,
        )
        self._good: dict[str, bool] = {}  # done URLs: whether received and accepted
        # Received URLs that were not accepted: the reason.
        self._rejected: dict[str, str] = {}
        self._pending: dict[str, list[_Group]] = {}  # by URL: the groups that wait for it
        # Earlier rows of URLs that this run has not reached.
        self._known: dict[str, Outcome] = {}
        # Outcomes that depend on the settings only and are not recorded.
        self._unrecorded: dict[str, Outcome] = {}
        self._asked = self._received = 0
        self._checked = 0.0  # when the deadlines were last checked

    def fetch(self, groups: Sequence[Sequence[str]], progress: Progress | None) -> FetchReport:
        """Process all groups."""
        self._store.remove_leftovers()
        kept, withheld = self._without_taken_down(groups)
        walks = [_Group(index, urls) for index, urls in enumerate(kept)]
        self._known = self._ledger.known({url for urls in kept for url in urls})
        threads = [
            threading.Thread(target=self._worker.run, name=f"fetch-{number}", daemon=True)
            for number in range(self._settings.threads)
        ]
        for thread in threads:
            thread.start()
        done = 0
        try:
            ready = deque(walks)
            if progress:
                progress(0, len(walks))
            while done < len(walks):
                while ready:
                    if self._advance(ready.popleft()):
                        done += 1
                        if progress:
                            progress(done, len(walks))
                if done < len(walks):
                    ready.extend(self._next_message())
        finally:
            self._end(threads)
        return self._report(walks, withheld)

    def _without_taken_down(self, groups: Sequence[Sequence[str]]) -> tuple[list[list[str]], int]:
        kept = [[url for url in dict.fromkeys(urls) if not self._takedowns.is_url(url)] for urls in groups]
        listed = {url for urls in groups for url in urls} if self._takedowns.urls else set()
        return kept, sum(self._takedowns.is_url(url) for url in listed)

    def _advance(self, group: _Group) -> bool:
        """Advance a group as far as outcomes are known; return whether it is done."""
        while len(group.accepted) < self._wanted and group.tried < len(group.urls):
            url = group.urls[group.tried]
            good = self._good.get(url)
            if good is None:
                waiting = self._pending.get(url)
                if waiting is not None:
                    waiting.append(group)
                    return False
                if not self._begin(url):
                    self._pending[url] = [group]
                    return False
                good = self._good[url]
            group.tried += 1
            if good:
                group.accepted.append(url)
        return True

    def _begin(self, url: str) -> bool:
        """Start a URL; return True where its outcome is known at once."""
        address = check_url(url, self._settings.allowed_networks)
        known = self._known.pop(url, None)
        if known is not None and known.status == FETCHED and self._is_taken_down(known):
            # The list was edited by hand, without `add_takedown`.
            if self._takedowns.is_image(known.sha256):
                self._store.remove(known.sha256 or "")
            self._ledger.take_down([url], "its image is on the takedown list")
            self._good[url] = False
            return True
        if known is not None and self._is_settled(known):
            if known.status == FETCHED and self._asks_accept:
                self._scheduler.add_task(lambda: self._worker.check_stored(known))
                return False
            self._good[url] = known.status == FETCHED
            return True
        if isinstance(address, FetchFailure):
            self._unrecorded[url] = Outcome(url, address.status, address.reason, address.detail)
            self._good[url] = False
            return True
        self._ask(url, address)
        return False

    def _ask(self, url: str, address: WebAddress) -> None:
        self._asked += 1
        self._scheduler.add(Job(url, address))

    def _is_settled(self, known: Outcome) -> bool:
        """Return whether an earlier run's row is valid under the settings of this run."""
        settings = self._settings
        if known.status == FETCHED:
            return known.sha256 is not None and self._store.has(known.sha256, known.bytes)
        if known.status == TRANSIENT:
            return not self._retry_failed
        match known.reason:
            case "private_address":
                return not settings.private_networks
            case "robots_disallowed":
                return settings.honour_robots
            case "robots_tag":
                return settings.honour_robots_tag
            case "too_large":
                return known.bytes is None or known.bytes > settings.max_bytes
            case "taken_down":
                return self._is_taken_down(known)
        return True

    def _is_taken_down(self, known: Outcome) -> bool:
        """Return whether the bytes of a URL, or the URL after redirects, are on the takedown list."""
        return self._takedowns.is_image(known.sha256) or self._takedowns.is_url(known.final_url or "")

    def _next_message(self) -> list[_Group]:
        """Wait for a thread's message; return the groups that can continue."""
        while True:
            if time.monotonic() - self._checked > _TICK:
                self._transport.connections.cut_expired()
                self._checked = time.monotonic()
            message = self._messages.first(_TICK)
            if message is not None:
                ready = self._handle(message)
                self._messages.drop_first()
                return ready

    def _handle(self, message: Message) -> list[_Group]:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, RobotsFound):
            self._ledger.record_robots(message.origin, message.http_status, message.content)
            return []
        if isinstance(message, Lost):
            address = check_url(message.url, self._settings.allowed_networks)
            if isinstance(address, WebAddress):
                self._ask(message.url, address)
                return []
            message = Done(Outcome(message.url, address.status, address.reason, address.detail))
        outcome = message.outcome
        if not message.stored:
            self._ledger.record(outcome)
            if outcome.status == FETCHED:
                self._received += outcome.bytes or 0
        self._good[outcome.url] = outcome.status == FETCHED and message.rejection is None
        if message.rejection is not None:
            self._rejected[outcome.url] = message.rejection
        return self._pending.pop(outcome.url, [])

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Stop the threads; record what they finished, but not the failures that stopping them caused."""
        try:
            while (message := self._messages.first(0)) is not None:
                if isinstance(message, Done) and not message.stored:
                    self._ledger.record(message.outcome)
                self._messages.drop_first()
        finally:
            # A ledger on a full disk must not leave threads behind that make requests.
            self._scheduler.stop()
            self._transport.connections.close()
            until = time.monotonic() + _JOIN_SECONDS
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
        while (message := self._messages.first(0)) is not None:
            if isinstance(message, Done) and message.outcome.status == FETCHED and not message.stored:
                self._ledger.record(message.outcome)
            self._messages.drop_first()

    def _report(self, walks: Sequence[_Group], withheld: int) -> FetchReport:
        outcomes = [GroupOutcome(tuple(walk.urls[: walk.tried]), tuple(walk.accepted)) for walk in walks]
        tried = {url for outcome in outcomes for url in outcome.tried}
        recorded = self._ledger.snapshot(tried - self._unrecorded.keys())
        rows = [
            {name: getattr(outcome, name) for name in SNAPSHOT.names}
            for url, outcome in self._unrecorded.items()
            if url in tried
        ]
        snapshot = pa.concat_tables([recorded, pa.Table.from_pylist(rows, schema=SNAPSHOT)]).sort_by("url")
        rejections = [self._rejected.get(url, "") for url in snapshot["url"].to_pylist()]
        snapshot = snapshot.append_column("refused", pa.array(rejections, pa.string()))
        reasons = zip(snapshot["status"].to_pylist(), snapshot["reason"].to_pylist(), strict=True)
        counts = Counter(reason or status for status, reason in reasons)
        return FetchReport(
            outcomes,
            snapshot,
            dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
            self._asked,
            self._received,
            withheld,
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into the folder; the system releases the lock of a killed process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a")
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WorkspaceError(
                f"another process fetches into {folder}; wait for it or give another workspace"
            ) from error
        yield
