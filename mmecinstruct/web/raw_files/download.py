"""One attempt to download one file: resume, restart where the file has changed, accept only a complete file."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.quantities import human
from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.web.raw_files.content import HEAD_BYTES, wrong_file, wrong_first_bytes
from mmecinstruct.web.raw_files.locations import Location, find_location
from mmecinstruct.web.raw_files.partial import Partial, Version
from mmecinstruct.web.raw_files.settings import PullSettings
from mmecinstruct.web.raw_files.transport import Answer, Failed, Transport, permanent, shown, transient

# For a file whose server gives no version, so many bytes are requested again and compared with those that are there.
OVERLAP = 64 * 1024
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d{1,18})")


class Stopped(Exception):
    """The pull was asked to stop."""


@dataclass(slots=True)
class Job:
    """A file to download, and its progress.

    Attributes:
        file: The file.
        target: The path that the file gets.
        partial: The bytes that have arrived.
        attempts: The number of attempts in this run.
        failures: The number of failures in a row without progress.
        furthest: The largest number of bytes that the file ever had.
        counted_from: The bytes that the file had when the failures were last set to zero.
        received: The bytes over the network in this run.
        continued_at: The bytes of an earlier run.
        from_start: Whether ranges are of no use with this server.
        seconds: The time of the attempts.
        sha256: The digest that the file must have, where known.
        git_blob: The git blob hash that the file must have, where known.
        notes: Messages about the download.
    """

    file: RemoteFile
    target: Path
    partial: Partial
    attempts: int = 0
    failures: int = 0
    furthest: int = 0
    counted_from: int = 0
    received: int = 0
    continued_at: int = 0
    from_start: bool = False
    seconds: float = 0.0
    sha256: str | None = None
    git_blob: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """The callbacks of an attempt, and its stop event.

    Attributes:
        stop: Set when the attempt has to stop.
        progress: Called with (job, bytes that have arrived, bytes of the whole file or None).
        note: Called with (job, message).
    """

    stop: threading.Event
    progress: Callable[[Job, int, int | None], None]
    note: Callable[[Job, str], None]


def attempt(job: Job, transport: Transport, settings: PullSettings, watch: Watch) -> Failed | None:
    """Download the missing bytes of a file into `job.partial`.

    Args:
        job: The file and its progress, which is updated.
        transport: Makes the requests.
        settings: The settings of the pull.
        watch: Callbacks and the stop event.

    Returns:
        None when the file is complete, else the failure.

    Raises:
        Stopped: The pull was asked to stop.
        OSError: The bytes cannot be written.
    """
    began = time.monotonic()
    job.attempts += 1
    try:
        location = find_location(job.file)
        if isinstance(location, Failed):
            return location
        job.sha256 = job.file.sha256 or location.sha256
        job.git_blob = location.git_blob
        job.target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(job, location, transport, settings, watch)
    finally:
        job.furthest = max(job.furthest, job.partial.size)
        job.seconds += time.monotonic() - began


def _fetch(
    job: Job, location: Location, transport: Transport, settings: PullSettings, watch: Watch
) -> Failed | None:
    partial = job.partial
    known = partial.version()
    expected = location.version or Version(shown(location.url))
    if known is not None and known.difference(expected) is not None:
        _begin_again(job, watch, known.difference(expected))
        known = None
    have = partial.size if known is not None else 0
    if known is not None and known.length is not None and have >= known.length:
        if have == known.length:
            # The file was complete when an earlier run was stopped.
            return None
        partial.discard()
        known, have = None, 0
    headers: dict[str, str] = {}
    start = 0
    if known is not None and not job.from_start:
        start = have if known.has_validator else max(0, have - OVERLAP)
    if start:
        headers["Range"] = f"bytes={start}-"
        # A location of the Hub identifies its content; its own validators differ from the Hub's version.
        if known is not None and known.validator is not None and location.version is None:
            headers["If-Range"] = known.validator
    answer = transport.open(
        location.url, headers, attempt=job.attempts - 1, authorization=location.authorization
    )
    if isinstance(answer, Failed):
        return answer
    try:
        # A request that was pending when the pull was stopped must not write to files of the next pull.
        if watch.stop.is_set():
            raise Stopped
        return _take(job, answer, location, known, start, settings, watch)
    finally:
        job.received += answer.received
        answer.close()


def _take(
    job: Job,
    answer: Answer,
    location: Location,
    known: Version | None,
    start: int,
    settings: PullSettings,
    watch: Watch,
) -> Failed | None:
    partial, have = job.partial, job.partial.size
    if answer.status == 416:
        whole = _NO_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if known is not None and known.length is None and whole and int(whole[1]) == have:
            return None
        _begin_again(job, watch, "the file is shorter than the bytes that have arrived")
        return transient("changed", "the server has fewer bytes than have arrived")
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    # Servers also send this header for files that are stored compressed; their bytes are the file.
    stored = encoding in ("gzip", "x-gzip") and file_format(job.target).compression == "gzip"
    if encoding not in ("", "identity") and not stored:
        return permanent(
            "encoded_body", f"the server compresses the response (Content-Encoding: {encoding[:40]})"
        )
    first, total = 0, answer.length
    if answer.status == 206:
        span = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if span is None or int(span[1]) != start:
            job.from_start = True
            return transient("bad_range", "the server sent another range than requested")
        first, total = start, int(span[3]) if span[3] != "*" else None
        if total is None and known is not None:
            total = known.length
    now = _version(answer, location, total)
    if location.version is not None and None not in (total, now.length) and total != now.length:
        return transient("wrong_length", f"the Hub says {now.length} bytes, its storage {total}")
    changed = known.difference(now) if known is not None else None
    if changed is not None:
        _begin_again(job, watch, changed)
        if answer.status == 206:
            return transient("changed", f"the file changed between two attempts ({changed})")
        known = None
    if known is None:
        partial.begin(now)
        have = 0
    elif job.attempts == 1:
        job.continued_at = have
    if first < have and answer.status == 200:
        watch.note(
            job, f"the server restarts at the first byte: the {human(have)} that have arrived are compared"
        )
    failed = _too_much(job, now.length, have, settings)
    if failed is not None:
        return failed
    with partial.open() as out:
        failed = _write(job, answer, out, first, have, now.length, settings, watch)
    return failed if failed is not None else _whole(job, answer, now.length)


def _version(answer: Answer, location: Location, total: int | None) -> Version:
    if location.version is not None:
        return (
            location.version
            if location.version.length is not None
            else replace(location.version, length=total)
        )
    headers = answer.headers
    return Version(
        shown(location.url),
        headers.get("ETag", "").strip()[:1000] or None,
        headers.get("Last-Modified", "").strip()[:100] or None,
        total,
    )


def _begin_again(job: Job, watch: Watch, why: str | None) -> None:
    size = job.partial.size
    job.partial.discard()
    job.from_start = False
    if size:
        watch.note(job, f"the file has changed since {human(size)} of it arrived ({why}): restarted")


def _too_much(job: Job, length: int | None, have: int, settings: PullSettings) -> Failed | None:
    if length is None:
        return None
    if length > settings.max_bytes:
        return permanent(
            "too_large", f"{human(length)}, at most {human(settings.max_bytes)} (pull.max_bytes)"
        )
    free = shutil.disk_usage(job.target.parent).free
    if length - have > free - settings.space_margin:
        return permanent(
            "disk_full",
            f"{human(length - have)} are missing and {human(free)} are free; {human(settings.space_margin)} have to "
            "stay free (pull.space_margin)",
        )
    return None


def _write(
    job: Job,
    answer: Answer,
    out: BinaryIO,
    position: int,
    have: int,
    total: int | None,
    settings: PullSettings,
    watch: Watch,
) -> Failed | None:
    """Append new bytes; compare the bytes that have arrived before.

    Args:
        job: The file and its progress.
        answer: The response.
        out: The partial file.
        position: The byte at which the response begins.
        have: The bytes that have arrived before.
        total: The bytes of the whole file, where known.
        settings: The settings of the pull.
        watch: Callbacks and the stop event.
    """
    checked = False
    watch.progress(job, have, total)
    while block := answer.read():
        if watch.stop.is_set():
            raise Stopped
        if isinstance(block, Failed):
            if block.failure.reason == "wrong_length":
                job.partial.discard()  # it is unknown which bytes belong to the file
            return block
        old = block[: max(0, have - position)]
        if old:
            out.seek(position)
            if out.read(len(old)) != old:
                if answer.status == 206:
                    _begin_again(job, watch, "other bytes")
                    return transient("changed", "the file changed between two attempts (other bytes)")
                out.truncate(position)
                have, old = position, b""
        position += len(block)
        if len(old) == len(block):
            continue
        if shutil.disk_usage(job.target.parent).free < settings.space_margin:
            return permanent(
                "disk_full", f"less than {human(settings.space_margin)} are free (pull.space_margin)"
            )
        out.seek(have)
        rest = memoryview(block)[len(old) :]
        while rest:
            rest = rest[out.write(rest) :]
        have = position
        if have > settings.max_bytes:
            job.partial.discard()
            return permanent("too_large", f"more than {human(settings.max_bytes)} (pull.max_bytes)")
        if not checked and have >= HEAD_BYTES:
            checked = True
            out.seek(0)
            failed = _another_file(job, out.read(HEAD_BYTES), total)
            if failed is not None:
                job.partial.discard()
                return failed
        watch.progress(job, have, total)
    if answer.status == 200 and position < have:
        if not answer.bounded:
            return transient("truncated", "the connection ended before the arrived bytes were compared")
        out.truncate(position)
        watch.note(job, f"the file has become shorter: {human(position)}")
    return None


def _another_file(job: Job, head: bytes, total: int | None) -> Failed | None:
    """Return a failure where first bytes or announced length show that it is not the wanted file."""
    wrong = wrong_first_bytes(job.target.name, head)
    if wrong is not None:
        return permanent("not_the_file", f"what the server sent {wrong}")
    stated = job.file.size
    if job.file.sha256 is not None and None not in (stated, total) and stated != total:
        return permanent(
            "wrong_size",
            f"the server's file has {total} bytes; the file with the stated SHA-256 has {stated}",
        )
    return None


def _whole(job: Job, answer: Answer, total: int | None) -> Failed | None:
    """Return a failure where bytes are missing, as far as the length is known."""
    have = job.partial.size
    if total is not None and have != total:
        if have > total:
            job.partial.discard()
            return transient("wrong_length", f"{have} bytes arrived, {total} were announced")
        return transient("truncated", f"{have} of {total} bytes arrived")
    stated = job.file.size
    if not answer.bounded and stated is not None and have < stated:
        return transient("truncated", f"{have} of {stated} bytes arrived")
    return None


def settle(job: Job) -> tuple[str, int] | Failed:
    """Check a complete file and move it to its target.

    Returns:
        (SHA-256, size in bytes), or the failure of a check.

    Raises:
        OSError: The file cannot be read or moved.
    """
    partial = job.partial
    wrong = wrong_file(partial.path, job.target.name)
    if wrong is not None:
        partial.discard()
        return permanent("not_the_file", f"what the server sent {wrong}")
    digest, size = sha256_file(partial.path), partial.size
    if job.sha256 is not None and digest != job.sha256.lower():
        aside = partial.reject()
        return permanent("wrong_checksum", f"its SHA-256 is {digest}, not {job.sha256}; kept as {aside}")
    if job.git_blob is not None and _git_blob(partial.path, size) != job.git_blob:
        aside = partial.reject()
        return permanent("wrong_checksum", f"its hash differs from the Hub's; kept as {aside}")
    partial.finish()
    return digest, size


def _git_blob(path: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
