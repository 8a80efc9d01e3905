"""Connections to a checked network address, whatever the host's name resolves to by then.

The Host header and the certificate are for the name. `KeptConnections` are kept for further requests and can be cut
from another thread; a `PinnedAdapter` of requests makes one for a single answer and reads it to its end.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from mmecinstruct.web.addresses import WebAddress

_MAX_POOLS = 512

_current = threading.local()  # .watch: of the request that this thread is in


@dataclass(slots=True, eq=False)
class Watch:
    """A request in flight: when it must be over, and the connection to cut when it is not."""

    deadline: float
    connection: _Guarded | None = None
    expired: bool = False

    def cut(self) -> None:
        """End the request."""
        self.expired = True
        if self.connection is not None:
            self.connection.cut()


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


class _GuardedHttpPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHttp


class _GuardedHttpsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHttps


class KeptConnections:
    """Pools of connections, one per host and checked address, and the requests in flight; safe in many threads."""

    def __init__(self, timeout: Timeout, per_host: int) -> None:
        """per_host: how many connections to a host are kept at most."""
        self._timeout, self._per_host = timeout, per_host
        self._pools: OrderedDict[tuple[str, str, int, str], HTTPConnectionPool] = OrderedDict()
        self._tls: ssl.SSLContext | None = None
        self._watches: set[Watch] = set()
        self._lock = threading.Lock()

    def pool(self, address: WebAddress, ip: str) -> HTTPConnectionPool:
        """Return the pool for a host at one of its checked addresses."""
        key = (address.scheme, address.host, address.port, ip)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._new_pool(address, ip)
                if len(self._pools) > _MAX_POOLS:
                    self._pools.popitem(last=False)[1].close()
            else:
                self._pools.move_to_end(key)
        return pool

    @contextmanager
    def watch(self, seconds: float) -> Iterator[Watch]:
        """Watch over the request that this thread makes, which must be over in so many seconds."""
        watch = Watch(time.monotonic() + seconds)
        _current.watch = watch
        with self._lock:
            self._watches.add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def cut_expired(self) -> None:
        """Cut the requests that are past their deadline."""
        now = time.monotonic()
        with self._lock:
            late = [watch for watch in self._watches if watch.deadline <= now]
        for watch in late:
            watch.cut()

    def close(self) -> None:
        """Cut all requests and close all connections."""
        with self._lock:
            watches, pools = list(self._watches), list(self._pools.values())
            self._pools.clear()
        for watch in watches:
            watch.cut()
        for pool in pools:
            pool.close()

    def _new_pool(self, address: WebAddress, ip: str) -> HTTPConnectionPool:
        named: dict[str, Any] = {"port": address.port, "timeout": self._timeout, "maxsize": self._per_host}
        named |= _pinned(address.scheme, address.host, ip)
        if address.scheme == "http":
            return _GuardedHttpPool(**named)
        if self._tls is None:
            self._tls = ssl.create_default_context()  # reading all certificates takes its time
        return _GuardedHttpsPool(ssl_context=self._tls, **named)


class _ToTheEnd(http.client.HTTPResponse):
    """An answer that ends with its connection, so that bytes beyond the announced length are seen."""

    def begin(self) -> None:
        super().begin()
        if self.will_close and self.length:
            self.length = None


class _HttpToTheEnd(HTTPConnection):
    response_class = _ToTheEnd


class _HttpsToTheEnd(HTTPSConnection):
    response_class = _ToTheEnd


class _HttpToTheEndPool(HTTPConnectionPool):
    ConnectionCls = _HttpToTheEnd


class _HttpsToTheEndPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsToTheEnd


class PinnedAdapter(HTTPAdapter):
    """Sends requests to one network address of a host."""

    def __init__(self, name: str, address: str | None) -> None:
        """address: None leaves the name to a proxy."""
        self._name, self._address = name, address
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Let the pools' connections read bodies to their end."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpToTheEndPool, "https": _HttpsToTheEndPool}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Return the keys of a request's pool: connections to one pinned address share a pool."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._address is not None:
            pinned = _pinned(host["scheme"], self._name, self._address)
            return {**host, "host": pinned.pop("host")}, {**pool, **pinned}
        return host, pool


def _pinned(scheme: str, name: str, ip: str) -> dict[str, Any]:
    """Return the keywords of a pool that goes to a network address and, for https, wants the name's certificate."""
    host = {"host": f"[{ip}]" if ":" in ip else ip}
    return {**host, "server_hostname": name} if scheme == "https" else host
