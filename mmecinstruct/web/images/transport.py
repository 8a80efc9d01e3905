"""One request over HTTP: to the checked address, in bounded time, with bounded bytes."""

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
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, Failure
from mmecinstruct.web.statuses import REDIRECTS, status_failure

_BLOCK = 256 * 1024
_DRAINED = 64 * 1024  # a refusal's body up to this size is read, so that its connection can be used again
_TRUNCATED_TRIES = 2


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes of an answer with status 200."""

    content: bytes
    content_type: str | None
    http_status: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """Where a redirect leads, not yet checked."""

    url: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A request without an image.

    answered: the host answered as a working host does. blames_host: the host, not the URL, is to be left alone
    for a while; closes_host: for good. tries: how often this is tried at most, where fewer than the recipe's.
    """

    failure: Failure
    http_status: int | None = None
    answered: bool = False
    blames_host: bool = False
    closes_host: bool = False
    retry_after: float | None = None
    tries: int | None = None
    size: int | None = None  # bytes, at least, of what is too large


Answer = Received | Redirected | Failed


class Transport:
    """Requests to checked addresses; safe in many threads."""

    def __init__(self, settings: FetchSettings, resolver: Resolver) -> None:
        """resolver: says at which network addresses a host may be asked."""
        timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
        self.settings, self.resolver = settings, resolver
        self.connections = KeptConnections(timeout, settings.connections_per_host)

    def get(self, address: WebAddress, attempt: int, *, beginning: int | None = None) -> Answer:
        """Ask for an address once and follow nothing.

        attempt: which try it is, from 0; a host with several addresses is tried at the next. beginning: return
        at most so many bytes, whatever the type, as for robots.txt. Never raises for what a server does.
        """
        found = self.resolver.addresses(address.host, address.port)
        if isinstance(found, Failure):
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
                        "Accept": "*/*" if beginning else "image/*,*/*;q=0.5",
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
                return self._read(response, address, watch, beginning)
            except (HTTPError, OSError, ValueError) as error:
                return _failed(error, watch, address, self.settings, status=response.status)
            finally:
                # Read to its end, the connection is back in its pool; else it is of no more use.
                response.close()

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        address: WebAddress,
        watch: Watch,
        beginning: int | None,
    ) -> Answer:
        settings, status = self.settings, response.status
        location = response.headers.get("Location")
        if status in REDIRECTS and location:
            self._drain(response, watch)
            return Redirected(redirect_target(address.url, location), status)
        if status != 200:
            self._drain(response, watch)
            failed = status_failure(status, response.headers, f"the server answered {status}")
            answered = failed.failure.status == PERMANENT
            return Failed(
                failed.failure,
                status,
                answered=answered,
                blames_host=failed.busy,
                retry_after=failed.retry_after,
            )
        length = declared_length(response.headers)
        if beginning is None:
            refused = self._refusal(response, length)
            if refused is not None:
                return refused
        cap = settings.max_bytes if beginning is None else beginning
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
            if beginning is None:
                return _too_large(f"more than {cap} bytes", cap + 1, status)
            return Received(
                b"".join(blocks)[:cap], response.headers.get("Content-Type", "")[:100] or None, status
            )
        if length is not None and received != length:
            return _truncated(f"{received} of {length} bytes", status)
        if received == 0 and beginning is None:
            return Failed(Failure(PERMANENT, "empty_body", "0 bytes"), status, answered=True)
        return Received(b"".join(blocks), response.headers.get("Content-Type", "")[:100] or None, status)

    def _refusal(self, response: urllib3.BaseHTTPResponse, length: int | None) -> Failed | None:
        """Return what the headers of an image say against taking it."""
        headers, status = response.headers, response.status
        if self.settings.honour_robots_tag:
            lines = headers.getlist("X-Robots-Tag")
            directive = forbidding_directive(lines, self.settings.robots_name)
            if directive is not None:
                failure = Failure(PERMANENT, "robots_tag", f"X-Robots-Tag: {directive}")
                return Failed(failure, status, answered=True)
        kind = headers.get("Content-Type")
        if is_no_image(kind):
            return Failed(Failure(PERMANENT, "wrong_type", f"{kind}"[:100]), status, answered=True)
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            failure = Failure(PERMANENT, "encoded_body", f"Content-Encoding: {encoding}"[:100])
            return Failed(failure, status, answered=True)
        if length is not None and length > self.settings.max_bytes:
            return _too_large(f"{length} bytes, at most {self.settings.max_bytes}", length, status)
        return None

    def _drain(self, response: urllib3.BaseHTTPResponse, watch: Watch) -> None:
        """Read a short body to its end; leave any other for the connection to be closed."""
        length = declared_length(response.headers)
        if length is None or length > _DRAINED:
            return
        with suppress(HTTPError, OSError):
            while response.read1(_DRAINED) and time.monotonic() < watch.deadline:
                pass


def _too_large(detail: str, size: int, status: int) -> Failed:
    return Failed(Failure(PERMANENT, "too_large", detail), status, answered=True, size=size)


def _truncated(detail: str, status: int | None) -> Failed:
    return Failed(Failure(TRANSIENT, "truncated", detail), status, tries=_TRUNCATED_TRIES)


def _too_slow(settings: FetchSettings) -> Failed:
    return Failed(Failure(TRANSIENT, "too_slow", f"not done within {settings.total_timeout:g} s"))


def _failed(
    error: Exception, watch: Watch, address: WebAddress, settings: FetchSettings, status: int | None = None
) -> Failed:
    if watch.expired:
        return _too_slow(settings)
    told = f"{address.host_header}: {type(error).__name__}"
    if isinstance(error, NewConnectionError):  # in some versions also a ConnectTimeoutError
        told = f"no connection to {address.host_header}"
        return Failed(Failure(TRANSIENT, "connection_failed", told), blames_host=True)
    if isinstance(error, ConnectTimeoutError):
        told = f"no connection to {address.host_header} within {settings.connect_timeout:g} s"
        return Failed(Failure(TRANSIENT, "connect_timeout", told), blames_host=True)
    if isinstance(error, ReadTimeoutError):
        told = f"nothing arrived within {settings.read_timeout:g} s"
        return Failed(Failure(TRANSIENT, "read_timeout", told), status)
    if isinstance(error, SSLError):
        return Failed(Failure(TRANSIENT, "tls_failed", f"{told}: {error}"[:300]), blames_host=True, tries=1)
    if isinstance(error, ProtocolError) and status == 200:
        return _truncated("the connection ended before the body did", status)
    return Failed(Failure(TRANSIENT, "connection_broken", told), status)
