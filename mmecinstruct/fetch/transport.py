"""One request over HTTP: to the checked address, in bounded time, with bounded bytes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from mmecinstruct.fetch.addresses import Resolver, WebAddress
from mmecinstruct.fetch.headers import forbidding_directive, is_no_picture, retry_after
from mmecinstruct.fetch.outcome import PERMANENT, TRANSIENT, Failure
from mmecinstruct.recipe import FetchSettings

_BLOCK = 256 * 1024
_DRAINED = 64 * 1024  # a refusal's body up to this size is read, so that its connection can be used again
_MAX_POOLS = 512
_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429)  # and 5xx
_SLOW_DOWN = (429, 503)
_TRUNCATED_TRIES = 2

_current = threading.local()  # .watch: of the request that this thread is in


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
    """A request without a picture.

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


@dataclass(slots=True, eq=False)
class _Watch:
    """A request in flight: when it must be over, and the socket to shut down when it is not."""

    deadline: float
    connection: _Guarded | None = None
    expired: bool = False


class _Guarded:
    """A connection that another thread can cut.

    A socket that is being read, or is in a TLS handshake, is cut through a duplicate of its descriptor.
    """

    guard: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.guard = made.dup()
        return made

    def connect(self) -> None:
        _current.watch.connection = self
        super().connect()  # type: ignore[misc]

    def request(self, *arguments: object, **named: object) -> None:
        _current.watch.connection = self
        super().request(*arguments, **named)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        guard, self.guard = self.guard, None
        if guard is not None:
            guard.close()

    def cut(self) -> None:
        guard = self.guard
        if guard is not None:
            with suppress(OSError):
                guard.shutdown(socket.SHUT_RDWR)


class _GuardedHttp(_Guarded, HTTPConnection):
    pass


class _GuardedHttps(_Guarded, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _GuardedHttp


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GuardedHttps


@dataclass(slots=True)
class Transport:
    """Pools of connections, one per host and checked address; safe in many threads."""

    settings: FetchSettings
    resolver: Resolver
    _pools: OrderedDict[tuple[str, str, int, str], urllib3.HTTPConnectionPool] = field(
        default_factory=OrderedDict
    )
    _tls: ssl.SSLContext | None = None
    _watches: set[_Watch] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, address: WebAddress, attempt: int, *, beginning: int | None = None) -> Answer:
        """Ask for an address once and follow nothing.

        attempt: which try it is, from 0; a host with several addresses is tried at the next. beginning: return
        at most so many bytes, whatever the type, as for robots.txt. Never raises for what a server does.
        """
        found = self.resolver.addresses(address.host, address.port)
        if isinstance(found, Failure):
            return Failed(found, blames_host=True, closes_host=found.reason != "dns_failed")
        pool = self._pool(address, found[attempt % len(found)])
        with self._watch() as watch:
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

    def cut_expired(self) -> None:
        """Cut the requests that are past their deadline."""
        now = time.monotonic()
        with self._lock:
            late = [watch for watch in self._watches if watch.deadline <= now]
        for watch in late:
            _cut(watch)

    def close(self) -> None:
        """Cut all requests and close all connections."""
        with self._lock:
            watches, pools = list(self._watches), list(self._pools.values())
            self._pools.clear()
        for watch in watches:
            _cut(watch)
        for pool in pools:
            pool.close()

    def _pool(self, address: WebAddress, ip: str) -> urllib3.HTTPConnectionPool:
        key = (address.scheme, address.host, address.port, ip)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                timeout = urllib3.Timeout(
                    connect=self.settings.connect_timeout, read=self.settings.read_timeout
                )
                host = f"[{ip}]" if ":" in ip else ip
                size = self.settings.connections_per_host
                if address.scheme == "https":
                    if self._tls is None:
                        self._tls = ssl.create_default_context()  # reading all certificates takes its time
                    pool = _HttpsPool(
                        host,
                        address.port,
                        timeout=timeout,
                        maxsize=size,
                        ssl_context=self._tls,
                        server_hostname=address.host,  # also what the certificate must be for
                    )
                else:
                    pool = _HttpPool(host, address.port, timeout=timeout, maxsize=size)
                self._pools[key] = pool
                if len(self._pools) > _MAX_POOLS:
                    self._pools.popitem(last=False)[1].close()
            else:
                self._pools.move_to_end(key)
        return pool

    @contextmanager
    def _watch(self) -> Iterator[_Watch]:
        watch = _Watch(time.monotonic() + self.settings.total_timeout)
        _current.watch = watch
        with self._lock:
            self._watches.add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        address: WebAddress,
        watch: _Watch,
        beginning: int | None,
    ) -> Answer:
        settings, status = self.settings, response.status
        location = response.headers.get("Location")
        if status in _REDIRECTS and location:
            self._drain(response, watch)
            return Redirected(_joined(address.url, location.strip()), status)
        if status != 200:
            self._drain(response, watch)
            return _status_failure(response)
        length = _declared_length(response)
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
        """Return what the headers of a picture say against taking it."""
        headers, status = response.headers, response.status
        if self.settings.honour_robots_tag:
            lines = headers.getlist("X-Robots-Tag")
            directive = forbidding_directive(lines, self.settings.robots_name)
            if directive is not None:
                failure = Failure(PERMANENT, "robots_tag", f"X-Robots-Tag: {directive}")
                return Failed(failure, status, answered=True)
        kind = headers.get("Content-Type")
        if is_no_picture(kind):
            return Failed(Failure(PERMANENT, "wrong_type", f"{kind}"[:100]), status, answered=True)
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            failure = Failure(PERMANENT, "encoded_body", f"Content-Encoding: {encoding}"[:100])
            return Failed(failure, status, answered=True)
        if length is not None and length > self.settings.max_bytes:
            return _too_large(f"{length} bytes, at most {self.settings.max_bytes}", length, status)
        return None

    def _drain(self, response: urllib3.BaseHTTPResponse, watch: _Watch) -> None:
        """Read a short body to its end; leave any other for the connection to be closed."""
        length = _declared_length(response)
        if length is None or length > _DRAINED:
            return
        with suppress(HTTPError, OSError):
            while response.read1(_DRAINED) and time.monotonic() < watch.deadline:
                pass


def _cut(watch: _Watch) -> None:
    watch.expired = True
    if watch.connection is not None:
        watch.connection.cut()


def _declared_length(response: urllib3.BaseHTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "").strip()
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _joined(base: str, location: str) -> str:
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # http.client takes headers for Latin-1
    try:
        return urljoin(base, location)
    except ValueError:
        return location  # no URL, as its check will say


def _status_failure(response: urllib3.BaseHTTPResponse) -> Failed:
    status = response.status
    transient = status in _TRANSIENT or status >= 500
    return Failed(
        Failure(TRANSIENT if transient else PERMANENT, f"http_{status}", f"the server answered {status}"),
        status,
        answered=not transient,
        blames_host=status in _SLOW_DOWN,
        retry_after=retry_after(response.headers.get("Retry-After")) if transient else None,
    )


def _too_large(detail: str, size: int, status: int) -> Failed:
    return Failed(Failure(PERMANENT, "too_large", detail), status, answered=True, size=size)


def _truncated(detail: str, status: int | None) -> Failed:
    return Failed(Failure(TRANSIENT, "truncated", detail), status, tries=_TRUNCATED_TRIES)


def _too_slow(settings: FetchSettings) -> Failed:
    return Failed(Failure(TRANSIENT, "too_slow", f"not done within {settings.total_timeout:g} s"))


def _failed(
    error: Exception, watch: _Watch, address: WebAddress, settings: FetchSettings, status: int | None = None
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
