"""Settings of `mmec pull`: how raw files are downloaded. `fetch` has the user agent and the private networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmecinstruct.core.settings import Bytes, Seconds, Settings, unit


class PullSettings(Settings):
    """Requests for publishers' raw files. None of these settings changes the content of a file."""

    connections: int = Field(default=3, ge=1, le=16, description="Files downloaded at the same time.")
    connect_timeout: Seconds = Field(
        default=15.0, gt=0, le=300, description="Seconds to wait for a connection."
    )
    read_timeout: Seconds = Field(
        default=60.0, gt=0, le=600, description="Seconds to wait for the next bytes of a response."
    )
    stall_timeout: Seconds = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="A connection slower than `stall_speed` for this many seconds is replaced by a new one.",
    )
    stall_speed: Annotated[int, unit("bytes per second")] = Field(
        default=1000,
        ge=0,
        description="Slowest accepted speed in bytes per second. 0 accepts any.",
    )

    retries: int = Field(
        default=6,
        ge=0,
        le=100,
        description="Consecutive failures of a file, without another megabyte of it, after which it fails.",
    )
    backoff_base: Seconds = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds to wait after the first failure. Doubled with each further one.",
    )
    backoff_cap: Seconds = Field(
        default=60.0, gt=0, le=3600, description="Longest wait between two tries, in seconds."
    )
    max_retry_after: Seconds = Field(
        default=600.0,
        ge=0,
        le=86_400,
        description="A server that asks (`Retry-After`) for a wait of more seconds is skipped in this run.",
    )
    max_redirects: int = Field(default=5, ge=0, le=20, description="Redirects followed per request.")

    max_bytes: Bytes = Field(default=100_000_000_000, gt=0, description="Largest accepted file in bytes.")
    space_margin: Bytes = Field(
        default=1_000_000_000, ge=0, description="Bytes that stay free on the disk. A download stops before."
    )
    checksums: bool = Field(
        default=True,
        description="Compare files with the SHA-256 that their publisher states. Set to false for a mirror that "
        "serves other files, such as a miniature.",
    )
