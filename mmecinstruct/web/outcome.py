"""Outcomes of requests for URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["fetched", "permanent", "transient"]
FETCHED: Status = "fetched"
# A further request would get the same response, or requests are not allowed.
PERMANENT: Status = "permanent"
# `retry_failed` requests the URL again.
TRANSIENT: Status = "transient"


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """Why a URL gave no bytes.

    Attributes:
        status: Whether a further request may help.
        reason: A word in snake_case.
        detail: A message for a person, without times.
    """

    status: Status
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the ledger: the latest outcome of one URL.

    Attributes:
        url: The URL as requested.
        status: Fetched, or whether a further request may help.
        reason: Empty when fetched, else the failure's word.
        detail: The failure's message.
        sha256: Hexadecimal digest of the received bytes.
        bytes: The number of received bytes.
        content_type: The Content-Type header, which may be wrong.
        http_status: The status of the last response.
        final_url: The URL after redirects, without secrets.
        attempts: The number of requests.
    """

    url: str
    status: Status
    reason: str = ""
    detail: str = ""
    sha256: str | None = None
    bytes: int | None = None
    content_type: str | None = None
    http_status: int | None = None
    final_url: str | None = None
    attempts: int = 0
