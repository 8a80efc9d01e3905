"""What became of a URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["fetched", "permanent", "transient"]
FETCHED: Status = "fetched"
PERMANENT: Status = "permanent"  # asking again would get the same answer, or asking is not allowed
TRANSIENT: Status = "transient"  # `retry_failed` asks again


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there are no bytes. reason: snake_case; detail: for a person, without times."""

    status: Status
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the ledger: the last word on one URL."""

    url: str
    status: Status
    reason: str = ""  # empty when fetched
    detail: str = ""
    sha256: str | None = None  # of the received bytes
    bytes: int | None = None
    content_type: str | None = None  # what the server said, not what it is
    http_status: int | None = None
    final_url: str | None = None  # after redirects
    attempts: int = 0
