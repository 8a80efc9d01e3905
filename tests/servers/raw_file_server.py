"""A server of publishers' raw files over real HTTP on the loopback: a folder, with ranges and validators.

It can stop in the middle of what it sends, as a line does that goes down: `halt_after` bytes, until `release` is
called. Every request is in the log.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PIECE = 16 * 1024
HALT_SECONDS = 120.0  # no test waits for ever


@dataclass(frozen=True)
class Request:
    """A line of the log. range: the value of the header Range, empty where there was none."""

    method: str
    path: str
    range: str


@dataclass
class RawFileServer:
    """Serves `folder`; counts the bytes of bodies in `sent`, and names the files of which only a part was sent."""

    folder: Path
    port: int = 0
    halt_after: int | None = None
    sent: int = 0
    unfinished: set[str] = field(default_factory=set)
    log: list[Request] = field(default_factory=list)
    halted: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def release(self) -> None:
        """Continue, and do not halt again."""
        self.halt_after = None
        self._released.set()

    def _count(self, size: int) -> None:
        with self._lock:
            self.sent += size
            halts = self.halt_after is not None and self.sent >= self.halt_after
        if halts:
            self.halted.set()
            self._released.wait(HALT_SECONDS)


@contextmanager
def serving(folder: Path) -> Iterator[RawFileServer]:
    """Serve a folder until the block ends."""
    state = RawFileServer(folder.resolve())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            state.log.append(Request(self.command, path, self.headers.get("Range", "")))
            file = (state.folder / path).resolve()
            if not file.is_relative_to(state.folder) or not file.is_file():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = file.stat()
            tag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
            start, stop = 0, status.st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted and self.headers.get("If-Range", tag) == tag:
                start = int(wanted[1])
                stop = min(stop, int(wanted[2]) + 1) if wanted[2] else stop
                if start >= status.st_size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{status.st_size}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{status.st_size}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", formatdate(status.st_mtime, usegmt=True))
            self.end_headers()
            if with_body:
                self._send(path, file, start, stop)

        def _send(self, path: str, file: Path, start: int, stop: int) -> None:
            with file.open("rb") as stream:
                stream.seek(start)
                while start < stop:
                    piece = stream.read(min(PIECE, stop - start))
                    try:
                        self.wfile.write(piece)
                        self.wfile.flush()
                    except OSError:  # the client is gone
                        self.close_connection = True
                        return
                    start += len(piece)
                    (state.unfinished.add if start < stop else state.unfinished.discard)(path)
                    state._count(len(piece))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.release()
        server.shutdown()
        server.server_close()
        thread.join()
