"""One HTTP request to a checked address, with bounded time and bytes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from mmecinstruct.web.addresses import Resolver, WebAddress
from mmecinstruct.web.connections import KeptConnections, Watch
from mmecinstruct.web.headers import declared_length, forbidding_directive, is_no_image, redirect_target
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, FetchFailure
from mmecinstruct.web.statuses import REDIRECTS, status_failure

_BLOCK = 256 * 1024
# The body of a failed response is read up to this size, so that its connection can be used again.
_DRAINED = 64 * 1024
_TRUNCATED_TRIES = 2


@dataclass(frozen=True, slots=True)
class Received:
    """The content of a response with status 200."""

    content: bytes
    content_type: str | None
    http_status: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """The unchecked target of a redirect."""

    url: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that gave no image.

    Attributes:
        failure: The failure.
        http_status: The status of the response, where there was one.
        answered: Whether the host responded as a working host does.
        blames_host: Whether the host, not only the URL, gets no requests for a while.
        closes_host: Whether the host gets no requests in this run.
        retry_after: The seconds to wait that the server asked for.
        tries: The largest number of attempts, where fewer than the recipe's.
        size: The bytes, at least, of content that is too large.
    """

    failure: FetchFailure
    http_status: int | None = None
    answered: bool = False
    blames_host: bool = False
    closes_host: bool = False
    retry_after: float | None = None
    tries: int | None = None
    size: int | None = None


Answer = Received | Redirected | Failed


class Transport:
    """Makes requests to checked addresses. Thread-safe."""

    def __init__(self, settings: FetchSettings, resolver: Resolver) -> None:
        """Create a transport without connections.

        Args:
            settings: The settings of the requests.
            resolver: Gives the allowed network addresses of a host.
        """
        timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
        self.settings, self.resolver = settings, resolver
        self.connections = KeptConnections(timeout, settings.connections_per_host)

    def get(self, address: WebAddress, attempt: int, *, first_bytes: int | None = None) -> Answer:
        """Request an address once, without following redirects. No behaviour of a server raises an exception.

        Args:
            address: The checked URL.
            attempt: The number of the attempt from 0; each attempt uses the host's next network address.
            first_bytes: Return at most so many bytes, whatever the type, as for robots.txt.
        """
        found = self.resolver.addresses(address.host, address.port)
        if isinstance(found, FetchFailure):
            return Failed(found, blames_host=True, closes_host=found.reason != "dns_failed")
        pool = self.connections.pool(address, found[attempt % len(found)])
        with self.connections.watch(self.settings.total_timeout) as watch:
            try:
                response = pool.urlopen(
                    "GET",
                    address.target,
                    headers={
                        "Host": address.host_header,
                        "User-Agent": self.settings.user_agent_header,
                        "Accept": "*/*" if first_bytes else "image/*,*/*;q=0.5",
                        "Accept-Encoding": "identity",
                    },
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError, ValueError) as error:
                return _failed(error, watch, address, self.settings)
            try:
                return self._read(response, address, watch, first_bytes)
            except (HTTPError, OSError, ValueError) as error:
                return _failed(error, watch, address, self.settings, status=response.status)
            finally:
                # A connection whose response was read to its end is back in its pool; any other is closed.
                response.close()

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        address: WebAddress,
        watch: Watch,
        first_bytes: int | None,
    ) -> Answer:
        settings, status = self.settings, response.status
        location = response.headers.get("Location")
        if status in REDIRECTS and location:
            self._drain(response, watch)
            return Redirected(redirect_target(address.url, location), status)
        if status != 200:
            self._drain(response, watch)
            error = status_failure(status, response.headers, f"the server answered {status}")
            return Failed(
                error.failure,
                status,
                answered=error.failure.status == PERMANENT,
                blames_host=error.busy,
                retry_after=error.retry_after,
            )
        length = declared_length(response.headers)
        if first_bytes is None:
            failed = self._header_failure(response, length)
            if failed is not None:
                return failed
        cap = settings.max_bytes if first_bytes is None else first_bytes
        blocks: list[bytes] = []
        received = 0
        while received <= cap:
            block = response.read1(_BLOCK)
            if not block:
                break
            blocks.append(block)
            received += len(block)
            if time.monotonic() > watch.deadline:
                return _too_slow(settings)
        if watch.expired:
            return _too_slow(settings)
        if received > cap:
            if first_bytes is None:
                return _too_large(f"more than {cap} bytes", cap + 1, status)
            return Received(
                b"".join(blocks)[:cap], response.headers.get("Content-Type", "")[:100] or None, status
            )
        if length is not None and received != length:
            return _truncated(f"{received} of {length} bytes", status)
        if received == 0 and first_bytes is None:
            return Failed(FetchFailure(PERMANENT, "empty_body", "0 bytes"), status, answered=True)
        return Received(b"".join(blocks), response.headers.get("Content-Type", "")[:100] or None, status)

    def _header_failure(self, response: urllib3.BaseHTTPResponse, length: int | None) -> Failed | None:
        """Return a failure where the headers forbid or exclude an image."""
        headers, status = response.headers, response.status
        if self.settings.honour_robots_tag:
            lines = headers.getlist("X-Robots-Tag")
            directive = forbidding_directive(lines, self.settings.robots_name)
            if directive is not None:
                failure = FetchFailure(PERMANENT, "robots_tag", f"X-Robots-Tag: {directive}")
                return Failed(failure, status, answered=True)
        kind = headers.get("Content-Type")
        if is_no_image(kind):
            return Failed(FetchFailure(PERMANENT, "wrong_type", f"{kind}"[:100]), status, answered=True)
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            failure = FetchFailure(PERMANENT, "encoded_body", f"Content-Encoding: {encoding}"[:100])
            return Failed(failure, status, answered=True)
        if length is not None and length > self.settings.max_bytes:
            return _too_large(f"{length} bytes, at most {self.settings.max_bytes}", length, status)
        return None

    def _drain(self, response: urllib3.BaseHTTPResponse, watch: Watch) -> None:
        """Read a short body to its end; leave a long one, so that the connection is closed."""
        length = declared_length(response.headers)
        if length is None or length > _DRAINED:
            return
        with suppress(HTTPError, OSError):
            while response.read1(_DRAINED) and time.monotonic() < watch.deadline:
                pass


def _too_large(detail: str, size: int, status: int) -> Failed:
    return Failed(FetchFailure(PERMANENT, "too_large", detail), status, answered=True, size=size)


def _truncated(detail: str, status: int | None) -> Failed:
    return Failed(FetchFailure(TRANSIENT, "truncated", detail), status, tries=_TRUNCATED_TRIES)


def _too_slow(settings: FetchSettings) -> Failed:
    return Failed(FetchFailure(TRANSIENT, "too_slow", f"not done within {settings.total_timeout:g} s"))


def _failed(
    error: Exception, watch: Watch, address: WebAddress, settings: FetchSettings, status: int | None = None
) -> Failed:
    if watch.expired:
        return _too_slow(settings)
    detail = f"{address.host_header}: {type(error).__name__}"
    if isinstance(error, NewConnectionError):  # in some versions also a ConnectTimeoutError
        detail = f"no connection to {address.host_header}"
        return Failed(FetchFailure(TRANSIENT, "connection_failed", detail), blames_host=True)
    if isinstance(error, ConnectTimeoutError):
        detail = f"no connection to {address.host_header} within {settings.connect_timeout:g} s"
        return Failed(FetchFailure(TRANSIENT, "connect_timeout", detail), blames_host=True)
    if isinstance(error, ReadTimeoutError):
        detail = f"nothing arrived within {settings.read_timeout:g} s"
        return Failed(FetchFailure(TRANSIENT, "read_timeout", detail), status)
    if isinstance(error, SSLError):
        return Failed(
            FetchFailure(TRANSIENT, "tls_failed", f"{detail}: {error}"[:300]), blames_host=True, tries=1
        )
    if isinstance(error, ProtocolError) and status == 200:
        return _truncated("the connection ended before the body did", status)
    return Failed(FetchFailure(TRANSIENT, "connection_broken", detail), status)
