"""Classify HTTP statuses: redirects, permanent and transient failures, busy hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mmecinstruct.web.headers import retry_after
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, FetchFailure

REDIRECTS = (301, 302, 303, 307, 308)
LOGIN_WANTED = (401, 403)
GONE = (404, 410)
# Every 5xx status is transient too.
_TRANSIENT = (408, 425, 429)
_BUSY = (429, 503)


class StatusFailure(NamedTuple):
    """A failure of an HTTP status.

    Attributes:
        failure: The failure.
        retry_after: The seconds to wait that the server asked for, for transient failures.
        busy: Whether the whole host is busy.
    """

    failure: FetchFailure
    retry_after: float | None
    busy: bool


def status_failure(status: int, headers: Mapping[str, str], detail: str) -> StatusFailure:
    """Return the failure of a status without content.

    Args:
        status: The HTTP status.
        headers: The headers of the response.
        detail: The failure's message.
    """
    transient = status in _TRANSIENT or status >= 500
    return StatusFailure(
        FetchFailure(TRANSIENT if transient else PERMANENT, f"http_{status}", detail),
        retry_after(headers.get("Retry-After")) if transient else None,
        status in _BUSY,
    )
