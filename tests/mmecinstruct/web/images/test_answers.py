"""Responses of servers, and their outcomes."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from mmecinstruct.web.images import ImageStore


def typed(kind: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", kind),)


def test_received_bytes_are_stored_under_their_hash(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(body=b"image")
    row = fetch.row(images.url("/a.jpg"))
    assert row == {
        "url": images.url("/a.jpg"),
        "status": "fetched",
        "reason": "",
        "detail": "",
        "sha256": hashlib.sha256(b"image").hexdigest(),
        "bytes": 5,
        "content_type": "image/jpeg",
        "http_status": 200,
        "final_url": images.url("/a.jpg"),
        "refused": "",
    }
    assert ImageStore(fetch.folder).get(row["sha256"]) == b"image"


def test_requests_say_who_asks_and_ask_for_plain_bytes(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    fetch([images.url("/a%2Bb.jpg?w=1&h=2", "shop.example")])
    robots, image = images.log
    assert (robots.path, image.path) == ("/robots.txt", "/a%2Bb.jpg?w=1&h=2")
    for request in (robots, image):
        assert request.host == "shop.example"
        assert request.headers["User-Agent"].startswith("mmecinstruct/")
        assert request.headers["User-Agent"].endswith("(+https://shop.example/contact)")
        assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "kept"),
    [(404, "permanent"), (410, "permanent"), (403, "permanent"), (204, "permanent"), (304, "permanent")],
)
def test_a_permanent_status_is_asked_for_once(
    fetch: Any, images: Any, answer: Any, status: int, kept: str
) -> None:
    images.routes["/a.jpg"] = answer(status)
    assert fetch.reason(images.url("/a.jpg")) == (kept, f"http_{status}")
    assert fetch.reason(images.url("/a.jpg"), retry_failed=True) == (kept, f"http_{status}")
    assert images.asked("/a.jpg") == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_status_is_tried_again_and_then_recorded(
    fetch: Any, images: Any, answer: Any, status: int
) -> None:
    images.routes["/a.jpg"] = answer(status)
    images.routes["/b.jpg"] = (answer(status), answer(body=b"at last"))
    found = {
        row["url"]: row for row in fetch([images.url("/a.jpg"), images.url("/b.jpg")]).snapshot.to_pylist()
    }
    assert found[images.url("/a.jpg")]["reason"] == f"http_{status}"
    assert found[images.url("/a.jpg")]["status"] == "transient"
    assert found[images.url("/b.jpg")]["status"] == "fetched"
    assert (images.asked("/a.jpg"), images.asked("/b.jpg")) == (2, 2)


def test_redirects_are_followed_to_another_host(fetch: Any, images: Any, answer: Any, redirect: Any) -> None:
    images.routes["/a.jpg"] = redirect(images.url("/b.jpg", "other.example"), 302)
    images.routes["other.example", "/b.jpg"] = redirect("c%20d.jpg#top", 308)
    images.routes["other.example", "/c%20d.jpg"] = answer(body=b"x")
    row = fetch.row(images.url("/a.jpg", "shop.example"))
    assert row["status"] == "fetched"
    assert row["final_url"] == images.url("/c%20d.jpg", "other.example")
    assert images.asked("/robots.txt", "other.example") == 1


def test_a_loop_of_redirects_ends(fetch: Any, images: Any, redirect: Any) -> None:
    images.routes["/a.jpg"] = redirect("/b.jpg")
    images.routes["/b.jpg"] = redirect("/a.jpg")
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", "redirect_loop")
    assert images.paths() == ["/a.jpg", "/b.jpg"]


def test_a_chain_of_redirects_has_an_end(fetch: Any, images: Any, answer: Any, redirect: Any) -> None:
    for number in range(9):
        images.routes[f"/{number}"] = redirect(f"/{number + 1}")
    images.routes["/9"] = answer(body=b"x")
    assert fetch.reason(images.url("/0"), max_redirects=8) == ("permanent", "too_many_redirects")
    assert fetch.reason(images.url("/1"), max_redirects=8) == ("fetched", "")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://shop.example/a.jpg", "unknown_scheme"),
        ("file:///etc/passwd", "unknown_scheme"),
        ("data:image/png;base64,AAAA", "data_url"),
        ("http://user:word@shop.example/a.jpg", "credentials_in_url"),
        ("http://[", "bad_url"),
    ],
)
def test_a_redirect_is_checked_like_a_url(
    fetch: Any, images: Any, redirect: Any, location: str, reason: str
) -> None:
    images.routes["/a.jpg"] = redirect(location)
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", reason)


def test_a_slow_drip_ends_at_the_deadline(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(body=b"x" * 1000, drip=0.05)
    images.routes["/b.jpg"] = answer(body=b"x" * 1000, drip=0.05, chunked=True)
    began = time.monotonic()
    for path in ("/a.jpg", "/b.jpg"):
        found = fetch.reason(images.url(path), retries=0, total_timeout=0.4, honour_robots=False)
        assert found == ("transient", "too_slow")
    assert time.monotonic() - began < 10  # to the end it would be 100 s


def test_headers_that_drip_end_at_the_deadline(fetch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg"

        def drip() -> None:
            with server.accept()[0] as connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        found = fetch.reason(url, retries=0, total_timeout=0.4, honour_robots=False)
        assert found == ("transient", "too_slow")
        thread.join(5)
        assert not thread.is_alive()


def test_a_silent_server_ends_at_the_read_timeout(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(body=b"x", delay=1.5)
    found = fetch.reason(images.url("/a.jpg"), retries=0, read_timeout=0.2, honour_robots=False)
    assert found == ("transient", "read_timeout")


def test_a_failed_connection_is_transient(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(hang_up=True)
    assert fetch.reason(images.url("/a.jpg")) == ("transient", "connection_broken")
    assert images.asked("/a.jpg") == 2
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = fetch.reason(f"http://127.0.0.1:{port}/a.jpg", honour_robots=False)
    assert found == ("transient", "connection_failed")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_shorter_than_declared_is_tried_once_more(
    fetch: Any, images: Any, answer: Any, chunked: bool
) -> None:
    broken = answer(body=b"short", length=500)
    if chunked:  # a chunk that is longer than what comes
        broken = answer(body=b"1f4\r\nshort", length=-1, headers=(("Transfer-Encoding", "chunked"),))
    images.routes["/a.jpg"] = broken
    images.routes["/b.jpg"] = (broken, answer(body=b"whole"))
    assert fetch.reason(images.url("/a.jpg"), retries=5) == ("transient", "truncated")
    assert fetch.reason(images.url("/b.jpg"), retries=5) == ("fetched", "")
    assert (images.asked("/a.jpg"), images.asked("/b.jpg")) == (2, 2)


def test_a_body_without_length_ends_with_the_connection(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(body=b"whole", length=-1)
    images.routes["/b.jpg"] = answer(body=b"in chunks", chunked=True, drip=0.001, piece=2)
    assert fetch.row(images.url("/a.jpg"))["bytes"] == 5
    assert fetch.row(images.url("/b.jpg"))["bytes"] == 9


def test_an_answer_without_bytes_is_no_image(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a.jpg"] = answer(body=b"")
    images.routes["/b.jpg"] = answer(body=b"", length=-1)
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", "empty_body")
    assert fetch.reason(images.url("/b.jpg")) == ("permanent", "empty_body")


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "video/mp4", "TEXT/HTML"])
def test_content_that_cannot_be_an_image_is_not_read(fetch: Any, images: Any, answer: Any, kind: str) -> None:
    images.routes["/a.jpg"] = answer(body=b"<html>", headers=typed(kind))
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", "wrong_type")


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "image/webp", "binary"])
def test_other_types_are_left_to_the_image_filter(fetch: Any, images: Any, answer: Any, kind: str) -> None:
    images.routes["/a.jpg"] = answer(body=b"...", headers=typed(kind))
    assert fetch.reason(images.url("/a.jpg")) == ("fetched", "")


def test_a_compressed_body_is_not_taken(fetch: Any, images: Any, answer: Any) -> None:
    headers = (*typed("image/jpeg"), ("Content-Encoding", "gzip"))
    images.routes["/a.jpg"] = answer(body=gzip.compress(b"x" * 1000), headers=headers)
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", "encoded_body")


@pytest.mark.parametrize(
    ("lines", "forbidden"),
    [
        (["noai"], "noai"),
        (["NOINDEX, nofollow"], "noindex"),
        (["nofollow", "noarchive, noimageai"], "noimageai"),
        (["none"], "none"),
        (["mmecinstruct: noindex"], "noindex"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["otherbot: noai"], None),
        (["otherbot: nofollow, noai"], None),
        (["nofollow", "max-image-preview: large"], None),
    ],
)
def test_the_robots_tag_is_honoured(
    fetch: Any, images: Any, answer: Any, lines: list[str], forbidden: str | None
) -> None:
    images.routes["/a.jpg"] = answer(body=b"x", headers=tuple(("X-Robots-Tag", line) for line in lines))
    row = fetch.row(images.url("/a.jpg"))
    if forbidden is None:
        assert row["status"] == "fetched"
    else:
        assert (row["status"], row["reason"]) == ("permanent", "robots_tag")
        assert row["detail"] == f"X-Robots-Tag: {forbidden}"
    assert fetch.reason(images.url("/a.jpg"), honour_robots_tag=False) == ("fetched", "")


@pytest.mark.parametrize("length", [None, -1])
def test_a_file_that_is_too_large_is_not_downloaded(
    fetch: Any, images: Any, answer: Any, length: int | None
) -> None:
    images.routes["/a.jpg"] = answer(body=b"x" * 1000, length=length)
    assert fetch.reason(images.url("/a.jpg"), max_bytes=999) == ("permanent", "too_large")
    assert fetch.reason(images.url("/a.jpg"), max_bytes=999) == ("permanent", "too_large")
    assert images.asked("/a.jpg") == 1
    assert fetch.reason(images.url("/a.jpg"), max_bytes=1000) == ("fetched", "")


@pytest.mark.parametrize("length", [None, -1])
def test_memory_stays_bounded_over_endless_bodies(
    fetch: Any, images: Any, answer: Any, length: int | None
) -> None:
    images.default = answer(body=b"x" * 65536, repeat=1600, length=length)  # 100 MB each
    fetch([images.url("/warm-up")], max_bytes=1_000_000)
    tracemalloc.start()
    try:
        report = fetch([images.url(f"/{n}") for n in range(16)], max_bytes=1_000_000, threads=4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.counts == {"too_large": 16}
    assert peak < 16_000_000  # 4 threads, each at most twice its megabyte, and the server's own


def test_bytes_do_not_pile_up_while_images_arrive(fetch: Any, images: Any, answer: Any) -> None:
    for number in range(60):
        images.routes[f"/{number}"] = answer(body=bytes([number]) * 1000, repeat=1000)
    fetch([images.url("/0")])
    tracemalloc.start()
    try:
        report = fetch([images.url(f"/{n}") for n in range(60)], threads=2, connections_per_host=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.counts == {"fetched": 60}
    assert peak < 20_000_000  # of 60 MB


def png_bomb() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_broken_images_and_bombs_are_fetched_as_bytes(fetch: Any, images: Any, answer: Any) -> None:
    bodies = {"/bomb.png": png_bomb()}
    for kind in ("PNG", "GIF", "TIFF", "WEBP", "JPEG"):
        stream = io.BytesIO()
        Image.effect_noise((64, 64), 80).convert("RGB").save(stream, kind)
        bodies[f"/cut.{kind.lower()}"] = stream.getvalue()[: len(stream.getvalue()) // 2]
    for path, body in bodies.items():
        images.routes[path] = answer(body=body)
    report = fetch([images.url(path) for path in bodies])
    assert report.counts == {"fetched": len(bodies)}
    store = ImageStore(fetch.folder)
    found = {row["url"]: row["sha256"] for row in report.snapshot.to_pylist()}
    assert {path: store.get(found[images.url(path)]) for path in bodies} == bodies
