"""A fetcher that is in a hurry, and a shop of as many hosts as a test likes, all on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.fetch import FetchReport, fetch_groups
from mmecinstruct.recipe import FetchSettings

Fetch = Callable[..., FetchReport]


def to_loopback(host: str, port: int) -> list[str]:
    """Resolve every name to the loopback: the addresses of the hosts that a test makes up."""
    return ["127.0.0.1"]


def settings_of(**changes: Any) -> FetchSettings:
    """Return settings under which a test takes no longer than it must."""
    quick: dict[str, Any] = {
        "enabled": True,
        "contact": "https://shop.example/contact",
        "threads": 8,
        "requests_per_second": 10_000,
        "backoff_base": 0.01,
        "backoff_cap": 0.05,
        "connect_timeout": 2,
        "read_timeout": 2,
        "total_timeout": 4,
        "retries": 1,
        "allow_private_addresses": True,
    }
    return FetchSettings.model_validate({**quick, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


@pytest.fixture
def fetch(folder: Path) -> Fetch:
    """Fetch groups, or single URLs, into the test's folder."""

    def run(urls: Sequence[Any], **changes: Any) -> FetchReport:
        groups = [[url] if isinstance(url, str) else url for url in urls]
        named = ("wanted", "accept", "takedowns", "retry_failed", "progress", "lookup")
        arguments = {name: changes.pop(name) for name in named if name in changes}
        return fetch_groups(groups, settings_of(**changes), folder, **{"lookup": to_loopback, **arguments})

    return run


def rows(report: FetchReport) -> dict[str, dict[str, Any]]:
    """Return the snapshot's rows by URL."""
    return {row["url"]: row for row in report.snapshot.to_pylist()}
