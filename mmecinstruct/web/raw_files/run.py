"""`mmec pull`: download the files that a recipe needs into the raw folder, or check those that are there."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mmecinstruct.core.hashing import hash_fraction
from mmecinstruct.core.output_folder import PULL, check_output
from mmecinstruct.core.quantities import human, lasting
from mmecinstruct.core.shown import printable
from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files.content import wrong_file
from mmecinstruct.web.raw_files.download import Job, Stopped, Watch, attempt, settle
from mmecinstruct.web.raw_files.locations import address_of
from mmecinstruct.web.raw_files.partial import Partial
from mmecinstruct.web.raw_files.plan import (
    PlannedFile,
    PullPlan,
    ask_size,
    check_not_synthetic,
    check_space,
    distinct,
    find_states,
    free_space,
    mirrored,
)
from mmecinstruct.web.raw_files.progress import Listener, Silent
from mmecinstruct.web.raw_files.queue import JobQueue
from mmecinstruct.web.raw_files.record import Record, found_hash, locked
from mmecinstruct.web.raw_files.report import PulledFile, PullReport, Status
from mmecinstruct.web.raw_files.settings import PullSettings
from mmecinstruct.web.raw_files.transport import Failed, Transport, permanent

# After so many new bytes, the failures of a file are counted from zero.
PROGRESS_BYTES = 1_000_000
_SIZE_TIMEOUT = 15.0  # seconds; sizes are optional
# Seconds that an interrupted pull waits for its threads.
_JOIN_SECONDS = 2.0
_UNCHECKED = "`--set pull.checksums=false` takes it"
_OTHER_FILE = ("wrong_checksum", "wrong_size")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def plan_pull(
    files: Sequence[RemoteFile],
    folder: Path,
    settings: PullSettings = PullSettings(),  # noqa: B008 (frozen)
    *,
    fetch: FetchSettings = FetchSettings(),  # noqa: B008 (frozen)
    mirror: str | None = None,
) -> PullPlan:
    """Return the plan of a pull; write nothing. Unknown sizes are requested from the servers, once.

    Args:
        files: The files.
        folder: The raw folder.
        settings: The settings of the pull.
        fetch: User agent, contact and allowed private networks.
        mirror: The URL of a mirror that has all files by their paths.

    Raises:
        PullError: A file cannot be put at its path.
        OutputError: Another command made the folder.
    """
    check_output(folder, PULL, setting="data")
    wanted = [file if settings.checksums else replace(file, sha256=None) for file in distinct(files)]
    if mirror is not None:
        wanted = mirrored(wanted, mirror)
    check_not_synthetic(wanted, folder)
    planned = find_states(wanted, folder, Record(folder))
    brief = min(settings.read_timeout, _SIZE_TIMEOUT)
    transport = Transport(settings.model_copy(update={"read_timeout": brief}), fetch, mirror=mirror)
    unknown: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index, entry in enumerate(planned):
        if entry.state == "fetch" and entry.size is None:
            unknown.put(index)

    def ask() -> None:
        while True:
            try:
                index = unknown.get_nowait()
            except queue.Empty:
                return
            planned[index] = ask_size(planned[index], transport)

    if not unknown.empty():
        _in_threads(ask, min(settings.connections, unknown.qsize()), threading.Event())
    return PullPlan(folder, tuple(planned), free_space(folder))


def pull(
    files: Sequence[RemoteFile],
    folder: Path,
    settings: PullSettings = PullSettings(),  # noqa: B008 (frozen)
    report: Listener | None = None,
    *,
    fetch: FetchSettings = FetchSettings(),  # noqa: B008 (frozen)
    mirror: str | None = None,
) -> PullReport:
    """Download the missing files into a raw folder.

    A file that cannot be downloaded, or that a person has to get, stops no other file; it is in the report. After an
    interruption of any kind, the next pull continues with the bytes that have arrived.

    Args:
        files: The files.
        folder: The raw folder.
        settings: The settings of the pull.
        report: Callbacks of the pull.
        fetch: User agent, contact and allowed private networks.
        mirror: The URL of a mirror that has all files by their paths; it may be in a private network.

    Returns:
        The result of each file.

    Raises:
        PullError: Another pull works in the folder, the folder cannot be written, or the disk has too little space.
    """
    began = time.monotonic()
    listener = report or Silent()
    check_output(folder, PULL, setting="data")
    with locked(folder):
        plan = plan_pull(files, folder, settings, fetch=fetch, mirror=mirror)
        listener.planned(plan)
        check_space(plan, settings)
        run = _Run(plan, settings, Transport(settings, fetch, mirror=mirror), listener, mirror is not None)
        return PullReport(folder, run.all(), time.monotonic() - began)


class _Run:
    def __init__(
        self,
        plan: PullPlan,
        settings: PullSettings,
        transport: Transport,
        listener: Listener,
        from_mirror: bool,
    ) -> None:
        self._from_mirror = from_mirror
        self._plan, self._settings, self._transport, self._listener = plan, settings, transport, listener
        self._record = Record(plan.folder)
        self._stop = threading.Event()
        self._full = ""  # the message of a full disk
        self._lock = threading.Lock()
        self._done: dict[str, PulledFile] = {}
        self._watch = Watch(self._stop, self._progress, self._note)

    def all(self) -> tuple[PulledFile, ...]:
        for planned in self._plan.files:
            if planned.state == "present":
                entry = self._record.present(planned.file.origin)
                self._finish(
                    planned.file, "present", size=planned.size, sha256=entry.sha256 if entry else None
                )
            elif planned.state == "by_hand":
                detail = f"{planned.file.by_hand}; put it at {planned.target}"
                self._finish(planned.file, "by_hand", size=planned.size, reason="by_hand", detail=detail)
        jobs = [
            Job(
                planned.file,
                planned.target,
                Partial(planned.target),
                furthest=planned.arrived,
                counted_from=planned.arrived,
            )
            for planned in self._plan.of("fetch")
        ]
        waiting = JobQueue(jobs, self._stop)
        found: queue.SimpleQueue[PlannedFile] = queue.SimpleQueue()
        for planned in self._plan.of("found"):
            found.put(planned)

        def work() -> None:
            while not self._stop.is_set():
                try:
                    self._take_found(found.get_nowait())
                except queue.Empty:
                    break
            while (job := waiting.take()) is not None:
                self._try(job, waiting)

        count = min(self._settings.connections, len(jobs) + found.qsize())
        if count:
            _in_threads(work, count, self._stop)
        while not found.empty():  # a full disk has stopped the threads
            self._take_found(found.get())
        for job in jobs:
            if job.file.origin not in self._done:  # the disk is full
                self._fail(job, permanent("disk_full", self._full))
        return tuple(self._done[planned.file.origin] for planned in self._plan.files)

    def _take_found(self, planned: PlannedFile) -> None:
        """Check a file that somebody has put into the folder, as far as its publisher states facts about it."""
        file, target = planned.file, planned.target
        try:
            size = planned.size or 0
            limit = self._settings.max_bytes
            wrong = f"has {human(size)}, at most {human(limit)} (pull.max_bytes)" if size > limit else None
            wrong = wrong or wrong_file(target, target.name)
            if wrong is None and file.sha256 is not None and file.size not in (None, planned.size):
                wrong = f"has {planned.size} bytes, but its publisher states {file.size} ({_UNCHECKED})"
            digest = found_hash(target, file.sha256) if wrong is None else None
            if wrong is None and file.sha256 is not None and digest != file.sha256.lower():
                wrong = f"has the SHA-256 {digest}, but its publisher states {file.sha256} ({_UNCHECKED})"
            if wrong is None:
                with self._lock:
                    self._record.put(file.origin, "", digest)
                # An earlier download, which is no longer needed.
                Partial(target).discard()
        except OSError as error:
            wrong = f"cannot be read or recorded: {error.strerror}"
        if wrong is not None:
            detail = f"{target} {wrong}; move it away and run this again, or put the right file there"
            self._finish(file, "rejected", size=planned.size, reason="not_the_file", detail=detail)
            return
        notes = []
        if file.size is not None and file.size != planned.size:
            notes.append(f"it has {planned.size} bytes; its publisher's file had {file.size}")
            self._listener.note(file.origin, notes[-1])
        self._finish(file, "found", size=planned.size, sha256=digest, notes=tuple(notes))

    def _try(self, job: Job, waiting: JobQueue) -> None:
        try:
            failed = attempt(job, self._transport, self._settings, self._watch)
            if failed is None:
                self._listener.progress(job.file.origin, job.partial.size, job.partial.size)
                outcome = settle(job)
                if not isinstance(outcome, Failed):
                    self._settled(job, *outcome)
                    waiting.done()
                    return
                failed = outcome
        except Stopped:
            waiting.done()
            return
        except OSError as error:
            detail = f"{job.target}: {error.strerror or error}"
            if error.errno in _FULL:
                self._full = f"{detail}; what has arrived is kept: free space and run the same command again"
                self._stop.set()
            else:
                self._fail(job, permanent("not_written", f"{detail}; what has arrived is kept"))
            waiting.done()
            return
        delay = self._delay(job, failed)
        if delay is None:
            self._fail(job, failed)
            waiting.done()
        else:
            self._note(job, f"{failed.failure.detail}; again in {lasting(delay)}")
            waiting.put_back(job, delay, whole_host=failed.busy)

    def _delay(self, job: Job, failed: Failed) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up."""
        settings = self._settings
        if job.furthest - job.counted_from >= PROGRESS_BYTES:
            job.failures, job.counted_from = 0, job.furthest
        job.failures += 1
        if not failed.transient or job.failures > settings.retries:
            return None
        if failed.retry_after is not None and failed.retry_after > settings.max_retry_after:
            return None
        whole = min(settings.backoff_cap, settings.backoff_base * 2.0 ** min(job.failures - 1, 60))
        # A server with a slow clock may give a Retry-After in the past, which counts as none.
        return failed.retry_after or whole * (
            0.5 + hash_fraction(0, "pull back-off", job.file.origin, str(job.attempts))
        )

    def _settled(self, job: Job, digest: str, size: int) -> None:
        if job.file.size is not None and size != job.file.size:
            self._note(job, f"it has {size} bytes, not {job.file.size}: the publisher has changed it")
        with self._lock:
            self._record.put(job.file.origin, address_of(job.file), digest)
        self._finish(job.file, "fetched", size=size, sha256=digest, **_statistics(job))

    def _fail(self, job: Job, failed: Failed) -> None:
        failure = failed.failure
        status: Status = "rejected" if failure.reason in _OTHER_FILE else "failed"
        self._finish(
            job.file,
            status,
            size=job.file.size,
            reason=failure.reason,
            detail=f"{printable(failure.detail)}; {_remedy(job, failed, self._settings, self._from_mirror)}",
            **_statistics(job),
        )

    def _finish(self, file: RemoteFile, status: Status, **known: object) -> None:
        done = PulledFile(file.origin, file.publisher, status, address_of(file), **known)  # type: ignore[arg-type]
        with self._lock:
            self._done[file.origin] = done
        self._listener.finished(done)

    def _progress(self, job: Job, done: int, total: int | None) -> None:
        self._listener.progress(job.file.origin, done, total)

    def _note(self, job: Job, text: str) -> None:
        job.notes.append(printable(text))
        self._listener.note(job.file.origin, job.notes[-1])


def _statistics(job: Job) -> dict[str, object]:
    return {
        "received": job.received,
        "continued_at": job.continued_at,
        "attempts": job.attempts,
        "seconds": job.seconds,
        "notes": tuple(job.notes),
    }


def _remedy(job: Job, failed: Failed, settings: PullSettings, from_mirror: bool) -> str:
    """Return the remedy for a file that could not be downloaded."""
    if failed.retry_after is not None and failed.retry_after > settings.max_retry_after:
        wait = lasting(failed.retry_after)
        return f"the server asks to wait {wait}, more than pull.max_retry_after: run the same command then"
    if failed.failure.reason == "disk_full":
        return "free space and run the same command again"
    if failed.failure.reason in _OTHER_FILE:
        if from_mirror:
            return f"the mirror has another file; if you want that one (a miniature, an edited copy), {_UNCHECKED}"
        if failed.failure.reason == "wrong_size":
            return f"its publisher has another file now; if you want that one, {_UNCHECKED}"
        return f"run this again to download it again; if you want a file with another SHA-256, {_UNCHECKED}"
    if failed.failure.reason == "private_address":
        return "allow its network if it is yours"
    if failed.transient or failed.failure.reason == "not_written":
        have = job.partial.size
        kept = f"; it continues after the {human(have)} that have arrived" if have else ""
        return f"run the same command again later{kept}"
    if from_mirror:
        return f"put it on the mirror as {address_of(job.file)}, or get it another way and put it at {job.target}"
    return f"get it from {address_of(job.file)} another way and put it at {job.target}, or give --mirror"


def _in_threads(work: Callable[[], None], count: int, stop: threading.Event) -> None:
    """Run `work` in so many threads; re-raise the exception of a thread, and a Ctrl-C at once.

    The threads are daemons, so a thread that hangs in a read does not keep the process alive.
    """
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            ended.put(error)
        else:
            ended.put(None)

    threads = [threading.Thread(target=guarded, name=f"pull-{n}", daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            error = ended.get()
            if error is not None:
                raise error
    except BaseException:
        stop.set()
        until = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        raise
