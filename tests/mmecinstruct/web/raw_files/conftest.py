"""Fixtures: a pull with short timeouts, a file server on the loopback, and files to pull."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files import PulledFile, PullReport, plan_pull, pull
from mmecinstruct.web.raw_files.settings import PullSettings
from tests.servers import file_server

QUICK: dict[str, Any] = {
    "retries": 3,
    "backoff_base": 0.01,
    "backoff_cap": 0.05,
    "connect_timeout": 2,
    "read_timeout": 2,
    "space_margin": 0,
}
OPEN = FetchSettings(private_networks=("127.0.0.0/8", "::1/128"))
ORIGIN = "amazon2018/meta_Mugs.json.gz"


def archive(size: int, seed: int = 0) -> bytes:
    """Return a gzip file of about so many bytes, which do not repeat."""
    return gzip.compress(random.Random(seed).randbytes(size), compresslevel=0, mtime=0)


class Pull:
    """Pulls files of a server into the test's raw folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, **changes: Any) -> PullSettings:
        return PullSettings.model_validate({**QUICK, **changes})

    def file(self, url: str | None, origin: str = ORIGIN, **known: Any) -> RemoteFile:
        return RemoteFile(origin, "amazon2018", url=url, **known)

    def __call__(
        self,
        *files: RemoteFile,
        mirror: str | None = None,
        fetch: FetchSettings = OPEN,
        listener: Any = None,
        **changes: Any,
    ) -> PullReport:
        return pull(files, self.folder, self.settings(**changes), listener, fetch=fetch, mirror=mirror)

    def one(self, url: str | None, origin: str = ORIGIN, **given: Any) -> PulledFile:
        """Pull one file; size, sha256 and by_hand are the publisher's, other arguments are for the pull."""
        known = {key: given.pop(key) for key in ("size", "sha256", "by_hand") if key in given}
        [done] = self(self.file(url, origin, **known), **given).files
        return done

    def plan(self, *files: RemoteFile, **given: Any) -> Any:
        mirror = given.pop("mirror", None)
        return plan_pull(files, self.folder, self.settings(**given), fetch=OPEN, mirror=mirror)

    def path(self, origin: str = ORIGIN) -> Path:
        return self.folder / origin

    def content(self, origin: str = ORIGIN) -> bytes:
        return self.path(origin).read_bytes()

    def arrived(self, origin: str = ORIGIN) -> int:
        """Bytes of an unfinished file."""
        partial = self.path(origin + ".partial")
        return partial.stat().st_size if partial.exists() else 0

    def left(self) -> list[str]:
        """The files in the raw folder, without the record and the lock."""
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".mmec-pull")
        )


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def puller(tmp_path: Path) -> Pull:
    return Pull(tmp_path / "raw")


@pytest.fixture
def server() -> Iterator[Any]:
    with file_server.serving_files() as running:
        yield running


@pytest.fixture
def served() -> Any:
    """Make a file of the server: body, and how it is sent."""
    return file_server.Served


@pytest.fixture
def failing() -> Any:
    """Make a response without a file: status, headers, …"""
    return file_server.Failing


@pytest.fixture(scope="session")
def mugs() -> bytes:
    """A file of 300 kB."""
    return archive(300_000)


@pytest.fixture(scope="session")
def pots() -> bytes:
    """Another version of it."""
    return archive(310_000, seed=1)


@pytest.fixture(scope="session")
def hash_of() -> Any:
    return lambda content: hashlib.sha256(content).hexdigest()
