"""A server of images over real HTTP on the loopback, with the behaviour that a test needs.

One port serves any number of hosts, distinguished by the Host header; a host or path that is not named gets 404.
Every request is in the log.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One response. length: the Content-Length to claim, None for the true one, -1 for none at all, which ends the
    body with the connection. drip: seconds between pieces of `piece` bytes. repeat: how often the body is sent.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "image/jpeg"),)
    length: int | None = None
    chunked: bool = False
    delay: float = 0.0  # before the status line
    drip: float = 0.0
    piece: int = 1
    repeat: int = 1
    hang_up: bool = False  # close without a word


@dataclass(frozen=True)
class Request:
    """A line of the log; times in seconds of time.monotonic."""

    host: str
    path: str
    headers: dict[str, str]
    time: float
    connection: int  # the client's port


def redirect(location: str, status: int = 301) -> Answer:
    return Answer(status, headers=(("Location", location),))


def html(status: int = 200) -> Answer:
    return Answer(
        status, b"<html><body>no image</body></html>", (("Content-Type", "text/html; charset=utf-8"),)
    )


@dataclass
class ImageServer:
    """Routes by (host name, path), or by path for all hosts; a sequence gives one response each, its last again."""

    port: int = 0
    routes: dict[tuple[str, str] | str, Answer | Sequence[Answer]] = field(default_factory=dict)
    default: Answer | None = None
    log: list[Request] = field(default_factory=list)
    most_at_once: Counter[str] = field(default_factory=Counter)  # by host
    _at_once: Counter[str] = field(default_factory=Counter)
    _served: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def paths(self, host: str | None = None) -> list[str]:
        """Return the requested paths in order, without robots.txt."""
        return [r.path for r in self.log if r.path != "/robots.txt" and host in (None, r.host)]

    def asked(self, path: str, host: str | None = None) -> int:
        return sum(r.path == path and host in (None, r.host) for r in self.log)

    def _begin(self, request: Request) -> Answer:
        with self._lock:
            self.log.append(request)
            self._at_once[request.host] += 1
            self.most_at_once[request.host] = max(
                self.most_at_once[request.host], self._at_once[request.host]
            )
            found = self.routes.get((request.host, request.path)) or self.routes.get(request.path)
            if found is None:
                robots = request.path == "/robots.txt"
                return self.default if self.default is not None and not robots else Answer(404)
            if isinstance(found, Answer):
                return found
            turn = self._served[request.host, request.path]
            self._served[request.host, request.path] += 1
            return found[min(turn, len(found) - 1)]

    def _end(self, host: str) -> None:
        with self._lock:
            self._at_once[host] -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # headers and body in one packet
    images: ImageServer

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: pytest's output is for failures."""

    def do_GET(self) -> None:
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        request = Request(
            name, self.path, dict(self.headers.items()), time.monotonic(), self.client_address[1]
        )
        answer = self.images._begin(request)
        try:
            self._send(answer)
        except OSError:  # the client has gone: it may
            self.close_connection = True
        finally:
            self.images._end(name)

    def _send(self, answer: Answer) -> None:
        if answer.delay:
            time.sleep(answer.delay)
        if answer.hang_up:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        whole = len(answer.body) * answer.repeat
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length != -1:
            self.send_header("Content-Length", str(whole if answer.length is None else answer.length))
        if answer.length is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        for piece in _pieces(answer):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            if answer.drip:
                self.wfile.flush()
                time.sleep(answer.drip)
        if answer.chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def _pieces(answer: Answer) -> Iterator[bytes]:
    for _ in range(answer.repeat):
        if answer.drip:
            for start in range(0, len(answer.body), answer.piece):
                yield answer.body[start : start + answer.piece]
        elif answer.body:
            yield answer.body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a drip that nobody reads any more would hold up the test's end
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients close connections on purpose."""


@contextmanager
def serving(port: int = 0) -> Iterator[ImageServer]:
    """Serve on the loopback while the context lasts."""
    images = ImageServer()
    handler = type("Handler", (_Handler,), {"images": images})
    with _Server(("127.0.0.1", port), handler) as server:
        images.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield images
        finally:
            server.shutdown()
            thread.join()
