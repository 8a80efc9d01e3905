"""One attempt at one file: continue where it stopped, begin again where the file has changed, accept only the whole."""

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
from mmecinstruct.web.raw_files.content import HEAD_BYTES, wrong_beginning, wrong_file
from mmecinstruct.web.raw_files.partial import Partial, Version
from mmecinstruct.web.raw_files.places import Place, find_place
from mmecinstruct.web.raw_files.settings import PullSettings
from mmecinstruct.web.raw_files.transport import Answer, Failed, Transport, permanent, shown, transient

# Of a file whose server names no version, so many bytes are asked for again and compared with what is there.
OVERLAP = 64 * 1024
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d{1,18})")


class Stopped(Exception):
    """The pull was asked to stop."""


@dataclass(slots=True)
class Job:
    """A file to fetch, and how it went so far."""

    file: RemoteFile
    target: Path
    partial: Partial
    attempts: int = 0
    failures: int = 0  # in a row, without progress
    furthest: int = 0  # the most bytes that it ever had
    mark: int = 0  # where the failures were last counted anew
    received: int = 0  # bytes over the network, in this run
    continued_at: int = 0  # bytes that an earlier run had left
    from_start: bool = False  # the server's answers to ranges are of no use
    seconds: float = 0.0
    sha256: str | None = None  # what the file has to be, if known
    git_blob: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """What an attempt tells, and when it has to stop. progress: (job, bytes there, bytes of the whole or None)."""

    stop: threading.Event
    progress: Callable[[Job, int, int | None], None]
    note: Callable[[Job, str], None]


def attempt(job: Job, transport: Transport, settings: PullSettings, watch: Watch) -> Failed | None:
    """Fetch what is missing of a file; None when it is whole, and lies in `job.partial`.

    Raises Stopped, and OSError where the disk does not take the bytes.
    """
    began = time.monotonic()
    job.attempts += 1
    try:
        place = find_place(job.file)
        if isinstance(place, Failed):
            return place
        job.sha256 = job.file.sha256 or place.sha256
        job.git_blob = place.git_blob
        job.target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(job, place, transport, settings, watch)
    finally:
        job.furthest = max(job.furthest, job.partial.size)
        job.seconds += time.monotonic() - began


def _fetch(
    job: Job, place: Place, transport: Transport, settings: PullSettings, watch: Watch
) -> Failed | None:
    partial = job.partial
    known = partial.version()
    expected = place.version or Version(shown(place.url))
    if known is not None and known.difference(expected) is not None:
        _begin_again(job, watch, known.difference(expected))
        known = None
    have = partial.size if known is not None else 0
    if known is not None and known.length is not None and have >= known.length:
        if have == known.length:
            return None  # all had arrived when an earlier run was stopped
        partial.discard()
        known, have = None, 0
    headers: dict[str, str] = {}
    start = 0
    if known is not None and not job.from_start:
        start = have if known.marked else max(0, have - OVERLAP)
    if start:
        headers["Range"] = f"bytes={start}-"
        # The Hub's place names its content, and has a version of its own.
        if known is not None and known.validator is not None and place.version is None:
            headers["If-Range"] = known.validator
    answer = transport.open(place.url, headers, attempt=job.attempts - 1, authorization=place.authorization)
    if isinstance(answer, Failed):
        return answer
    try:
        # One that waited for an answer while the pull was stopped must not touch what the next pull has by now.
        if watch.stop.is_set():
            raise Stopped
        return _take(job, answer, place, known, start, settings, watch)
    finally:
        job.received += answer.received
        answer.close()


def _take(
    job: Job,
    answer: Answer,
    place: Place,
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
        _begin_again(job, watch, "a length below what had arrived")
        return transient("changed", "the server has fewer bytes than had arrived")
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    # Servers say so of files that are stored compressed, and those bytes are the file.
    stored = encoding in ("gzip", "x-gzip") and file_format(job.target).compression == "gzip"
    if encoding not in ("", "identity") and not stored:
        return permanent(
            "encoded_body", f"the server packs the file on its way (Content-Encoding: {encoding[:40]})"
        )
    first, total = 0, answer.length
    if answer.status == 206:
        span = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if span is None or int(span[1]) != start:
            job.from_start = True
            return transient("bad_range", "the server answered another range than it was asked for")
        first, total = start, int(span[3]) if span[3] != "*" else None
        if total is None and known is not None:
            total = known.length
    now = _version(answer, place, total)
    if place.version is not None and None not in (total, now.length) and total != now.length:
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
            job, f"the server begins at the start again: the {human(have)} that are there are compared"
        )
    refused = _too_much(job, now.length, have, settings)
    if refused is not None:
        return refused
    with partial.open() as out:
        failed = _write(job, answer, out, first, have, now.length, settings, watch)
    return failed if failed is not None else _whole(job, answer, now.length)


def _version(answer: Answer, place: Place, total: int | None) -> Version:
    if place.version is not None:
        return place.version if place.version.length is not None else replace(place.version, length=total)
    headers = answer.headers
    return Version(
        shown(place.url),
        headers.get("ETag", "").strip()[:1000] or None,
        headers.get("Last-Modified", "").strip()[:100] or None,
        total,
    )


def _begin_again(job: Job, watch: Watch, why: str | None) -> None:
    size = job.partial.size
    job.partial.discard()
    job.from_start = False
    if size:
        watch.note(job, f"the file has changed since {human(size)} of it arrived ({why}): begun again")


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
            f"{human(length - have)} are missing and {human(free)} free, of which {human(settings.space_margin)} stay "
            "free (pull.space_margin)",
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
    """Append what is new; compare what is there already. position: where the answer begins; have: bytes there."""
    checked = False
    watch.progress(job, have, total)
    while block := answer.read():
        if watch.stop.is_set():
            raise Stopped
        if isinstance(block, Failed):
            if block.failure.reason == "wrong_length":
                job.partial.discard()  # no telling which of the bytes are the file
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
            refused = _another_file(job, out.read(HEAD_BYTES), total)
            if refused is not None:
                job.partial.discard()
                return refused
        watch.progress(job, have, total)
    if answer.status == 200 and position < have:
        if not answer.bounded:
            return transient("truncated", "the connection ended before what is there was compared")
        out.truncate(position)
        watch.note(job, f"the file has become shorter: {human(position)}")
    return None


def _another_file(job: Job, head: bytes, total: int | None) -> Failed | None:
    """Say by its first bytes and its announced length that a file cannot be the right one, before the rest arrives."""
    wrong = wrong_beginning(job.target.name, head)
    if wrong is not None:
        return permanent("not_the_file", f"what the server sent {wrong}")
    stated = job.file.size
    if job.file.sha256 is not None and None not in (stated, total) and stated != total:
        return permanent(
            "wrong_size", f"it has {total} bytes there; the file whose SHA-256 is stated has {stated}"
        )
    return None


def _whole(job: Job, answer: Answer, total: int | None) -> Failed | None:
    """Say what is missing, as far as anybody has told the length."""
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
    """Check a whole file and put it in its place; return its SHA-256 and its size. Raises OSError."""
    partial = job.partial
    wrong = wrong_file(partial.path, job.target.name)
    if wrong is not None:
        partial.discard()
        return permanent("not_the_file", f"what the server sent {wrong}")
    digest, size = sha256_file(partial.path), partial.size
    if job.sha256 is not None and digest != job.sha256.lower():
        aside = partial.reject()
        return permanent(
            "wrong_checksum", f"its SHA-256 is {digest}, and has to be {job.sha256}; kept aside as {aside}"
        )
    if job.git_blob is not None and _git_blob(partial.path, size) != job.git_blob:
        aside = partial.reject()
        return permanent("wrong_checksum", f"it has another hash than the Hub says; kept aside as {aside}")
    partial.finish()
    return digest, size


def _git_blob(path: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
