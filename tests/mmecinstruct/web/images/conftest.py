"""Fixtures: a fetcher with short timeouts, and a server with any number of hosts, on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.web.images import FetchReport, fetch_groups
from mmecinstruct.web.images.settings import FetchSettings
from tests.servers import image_server

QUICK: dict[str, Any] = {
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
    "private_networks": ("127.0.0.0/8", "::1/128"),
}
ARGUMENTS = ("wanted", "accept", "takedowns", "retry_failed", "progress", "lookup")


class Fetch:
    """Fetches groups, or single URLs, into the test's folder; takes settings and arguments by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, **changes: Any) -> FetchSettings:
        return FetchSettings.model_validate({**QUICK, **changes})

    def lookup(self, host: str, port: int) -> list[str]:
        """Resolve every name to the loopback: the addresses of the hosts that a test makes up."""
        return ["127.0.0.1"]

    def __call__(self, urls: Sequence[Any], **changes: Any) -> FetchReport:
        groups = [[url] if isinstance(url, str) else url for url in urls]
        arguments = {name: changes.pop(name) for name in ARGUMENTS if name in changes}
        return fetch_groups(
            groups, self.settings(**changes), self.folder, **{"lookup": self.lookup, **arguments}
        )

    def row(self, url: str, **changes: Any) -> dict[str, Any]:
        """Fetch one URL and return its row."""
        [row] = self([url], **changes).snapshot.to_pylist()
        return dict(row)

    def reason(self, url: str, **changes: Any) -> tuple[str, str]:
        """Fetch one URL and return its status and reason."""
        row = self.row(url, **changes)
        return row["status"], row["reason"]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path / "fetched")


@pytest.fixture
def answer() -> Callable[..., Any]:
    """Make a response of the server: status, body, headers, …"""
    return image_server.Answer  # type: ignore[no-any-return]


@pytest.fixture
def redirect() -> Callable[..., Any]:
    return image_server.redirect  # type: ignore[no-any-return]
