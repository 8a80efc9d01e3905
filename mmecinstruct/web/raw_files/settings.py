"""Settings of `mmec pull`: how raw files are fetched. Who asks, and which networks may be asked, `fetch` says."""

from __future__ import annotations

from pydantic import Field

from mmecinstruct.core.settings import Settings


class PullSettings(Settings):
    """Requests for publishers' raw files. Seconds and bytes, unless a comment says otherwise.

    None of these settings changes what a file is, only whether and how it is had.
    """

    connections: int = Field(default=3, ge=1, le=16)  # files at once
    connect_timeout: float = Field(default=15.0, gt=0, le=300)
    read_timeout: float = Field(default=60.0, gt=0, le=600)  # between two arrivals of bytes
    # A connection that brought fewer than stall_speed bytes per second for so long is given up for a new one.
    stall_timeout: float = Field(default=60.0, gt=0, le=3600)
    stall_speed: int = Field(default=1000, ge=0)

    # Failures in a row of one file that brought it no megabyte further.
    retries: int = Field(default=6, ge=0, le=100)
    backoff_base: float = Field(default=1.0, gt=0, le=60)  # doubled with each failure
    backoff_cap: float = Field(default=60.0, gt=0, le=3600)
    max_retry_after: float = Field(
        default=600.0, ge=0, le=86_400
    )  # who asks for more is left for another day
    max_redirects: int = Field(default=5, ge=0, le=20)

    max_bytes: int = Field(default=100_000_000_000, gt=0)  # of one file
    space_margin: int = Field(default=1_000_000_000, ge=0)  # what stays free on the disk
    # Compare files with the SHA-256 that their publisher states. Not for a mirror that serves other files.
    checksums: bool = True
