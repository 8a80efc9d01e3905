"""A server of large files over real HTTP on the loopback, with the behaviour that a test needs.

It knows Range and If-Range. A path that is not named gets 404. Every request is in the log.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MODIFIED = "Tue, 06 Oct 2020 10:00:00 GMT"


@dataclass(frozen=True)
class Served:
    """One version of a file, and how it is sent.

    etag: "" for one made from the body, None for none. ranges: whether ranges are known. cut: bytes of the body after
    which the connection is closed without a word. lie: how many bytes more than true the header announces. pause:
    seconds to wait once `pause_after` bytes are out. no_length: the body ends with its connection. short_ranges: ranges
    of so many bytes at most, whose Content-Range does not say how long the whole is.
    """

    body: bytes = b""
    etag: str | None = ""
    modified: str | None = MODIFIED
    ranges: bool = True
    cut: int | None = None
    lie: int = 0
    chunked: bool = False
    no_length: bool = False
    pause: float = 0.0
    pause_after: int = 0
    shift: int = 0  # how far beside the wanted range a wrong server begins
    short_ranges: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str | None:
        return f'"{hashlib.md5(self.body).hexdigest()}"' if self.etag == "" else self.etag


@dataclass(frozen=True)
class Failing:
    """A response without a file. hang_up: close without a response. drip: seconds for which its body continues."""

    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hang_up: bool = False
    drip: float = 0.0


@dataclass(frozen=True)
class Request:
    """A line of the log. time: of time.monotonic."""

    method: str
    path: str
    headers: dict[str, str]
    time: float

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


Answer = Served | Failing


@dataclass
class FileServer:
    """Routes by path; a sequence gives one response per GET, its last repeatedly, its first to HEAD."""

    port: int = 0
    scheme: str = "http"
    routes: dict[str, Answer | Sequence[Answer]] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _turns: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def gets(self, path: str | None = None) -> list[Request]:
        return [r for r in self.log if r.method == "GET" and path in (None, r.path)]

    def ranges(self, path: str | None = None) -> list[str | None]:
        """Return the Range of each GET in turn."""
        return [request.range for request in self.gets(path)]

    def begin(self, request: Request) -> Answer:
        with self._lock:
            self.log.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            found = self.routes.get(request.path)
            if found is None:
                return Failing(404)
            if isinstance(found, Served | Failing):
                return found
            if request.method == "HEAD":
                return found[0]
            turn = self._turns[request.path]
            self._turns[request.path] += 1
            return found[min(turn, len(found) - 1)]

    def end(self) -> None:
        with self._lock:
            self.at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: pytest's output is for failures."""

    def do_GET(self) -> None:
        # A proxy is asked for whole URLs.
        path = urlsplit(self.path).path
        request = Request(self.command, path, dict(self.headers.items()), time.monotonic())
        answer = self.files.begin(request)
        self.close_connection = True
        try:
            if isinstance(answer, Served):
                self._serve(answer)
            elif answer.drip:
                self._head(answer.status, answer.headers)
                until = time.monotonic() + answer.drip
                while time.monotonic() < until:
                    self.wfile.write(bytes(64 * 1024))
                    time.sleep(0.05)
            elif not answer.hang_up:
                self._head(answer.status, (*answer.headers, ("Content-Length", str(len(answer.body)))))
                self.wfile.write(b"" if self.command == "HEAD" else answer.body)
            self.wfile.flush()
        except OSError:
            pass  # the client has gone: it may
        finally:
            self.files.end()

    do_HEAD = do_GET

    def _head(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _serve(self, file: Served) -> None:
        headers = [*file.headers]
        if file.tag is not None:
            headers.append(("ETag", file.tag))
        if file.modified is not None:
            headers.append(("Last-Modified", file.modified))
        status, start, body = 200, 0, file.body
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        if file.ranges and span and condition in (None, file.tag, file.modified):
            start = int(span[1]) + file.shift
            whole = len(file.body) + file.lie
            if start >= whole:
                self._head(416, (("Content-Range", f"bytes */{whole}"), ("Content-Length", "0")))
                return
            status, body = 206, file.body[start:]
            said = str(whole)
            if file.short_ranges is not None:
                body, said = body[: file.short_ranges], "*"
                whole = start + len(body)
            headers.append(("Content-Range", f"bytes {start}-{whole - 1}/{said}"))
        if file.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif not file.no_length:
            headers.append(("Content-Length", str(len(body) + file.lie)))
        self._head(status, headers)
        if self.command == "HEAD":
            return
        sent = body if file.cut is None else body[: max(0, file.cut - start)]
        paused = not file.pause
        for at in range(0, len(sent), 64 * 1024):
            if not paused and start + at >= file.pause_after:
                paused = True
                self.wfile.flush()
                time.sleep(file.pause)
            piece = sent[at : at + 64 * 1024]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if file.chunked else piece)
        if file.chunked and file.cut is None:
            self.wfile.write(b"0\r\n\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients close connections on purpose."""


@contextmanager
def serving_files(context: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve on the loopback while the context lasts; over TLS, if a context is given."""
    files = FileServer(scheme="http" if context is None else "https")
    handler = type("Handler", (_Handler,), {"files": files})
    with _Server(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        files.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
