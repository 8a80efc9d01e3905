"""What an HTTP status means: a redirect, a failure that asking again may mend, a host that asks for patience."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mmecinstruct.web.headers import retry_after
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, Failure

REDIRECTS = (301, 302, 303, 307, 308)
LOGIN_WANTED = (401, 403)
GONE = (404, 410)
_TRANSIENT = (408, 425, 429)  # and 5xx
_BUSY = (429, 503)


class StatusFailure(NamedTuple):
    """A status as a failure. retry_after: the seconds that a transient one asks to wait. busy: the whole host is."""

    failure: Failure
    retry_after: float | None
    busy: bool


def status_failure(status: int, headers: Mapping[str, str], detail: str) -> StatusFailure:
    """Return what a status stands for that brings no content."""
    transient = status in _TRANSIENT or status >= 500
    return StatusFailure(
        Failure(TRANSIENT if transient else PERMANENT, f"http_{status}", detail),
        retry_after(headers.get("Retry-After")) if transient else None,
        status in _BUSY,
    )
