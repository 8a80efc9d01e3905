"""Responses of servers: busy, gone, redirected, or something that is not the file."""

from __future__ import annotations

import dataclasses
import gzip
import io
import itertools
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.web.addresses import Resolver
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files.transport import Failed, Transport
from tests.servers import file_server

URL = "/a/meta_Mugs.json.gz"
OPEN = FetchSettings(private_networks=("127.0.0.0/8", "::1/128"))
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in to\n continue</title></head><body>...</body></html>"


class TestBusyServer:
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes, status: int
    ) -> None:
        server.routes[URL] = [failing(status, (("Retry-After", "1"),)), served(mugs)]
        done = puller.one(server.url(URL), size=len(mugs))
        first, second = server.gets()
        assert done.status == "fetched"
        assert second.time - first.time >= 1.0
        assert any(f"answered {status}" in note for note in done.notes)

    @pytest.mark.slow
    def test_a_date_is_honoured_too(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        at = formatdate(time.time() + 2, usegmt=True)
        server.routes[URL] = [failing(503, (("Retry-After", at),)), served(mugs)]
        puller.one(server.url(URL), size=len(mugs))
        first, second = server.gets()
        assert second.time - first.time >= 0.9

    @pytest.mark.slow
    def test_the_whole_host_is_left_alone(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/busy"] = [failing(429, (("Retry-After", "1"),)), served(mugs)]
        server.routes["/other"] = served(mugs)
        files = [
            puller.file(server.url(path), f"{path[1:]}.gz", size=len(mugs)) for path in ("/busy", "/other")
        ]
        assert puller(*files, connections=1).complete
        busy, *others = server.gets()
        assert busy.path == "/busy"
        assert all(request.time - busy.time >= 1.0 for request in others)

    @pytest.mark.slow
    def test_a_file_that_waits_holds_up_no_other(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/broken"] = [failing(500), served(mugs)]
        server.routes["/other"] = served(mugs)
        files = [
            puller.file(server.url(path), f"{path[1:]}.gz", size=len(mugs)) for path in ("/broken", "/other")
        ]
        assert puller(*files, connections=1, backoff_base=1.0, backoff_cap=1.0).complete
        assert [request.path for request in server.gets()] == ["/broken", "/other", "/broken"]

    def test_a_too_long_retry_after_is_a_failure(self, puller: Any, server: Any, failing: Any) -> None:
        server.routes[URL] = failing(503, (("Retry-After", "7200"),))
        done = puller.one(server.url(URL), size=9)
        assert done.status == "failed"
        assert "asks to wait 2.0 h, more than pull.max_retry_after" in done.detail
        assert len(server.gets()) == 1

    @pytest.mark.parametrize("passed", ["0", "Wed, 07 Oct 2020 10:00:00 GMT"])
    def test_a_time_that_has_passed_is_no_hint(
        self, puller: Any, server: Any, failing: Any, passed: str
    ) -> None:
        server.routes[URL] = failing(503, (("Retry-After", passed),))
        puller.one(server.url(URL), size=9, retries=2, backoff_base=0.1, backoff_cap=10)
        times = [request.time for request in server.gets()]
        assert all(b - a >= 0.05 for a, b in itertools.pairwise(times))

    def test_without_a_hint_the_waits_grow(self, puller: Any, server: Any, failing: Any) -> None:
        server.routes[URL] = failing(500)
        done = puller.one(server.url(URL), size=9, retries=3, backoff_base=0.1, backoff_cap=10)
        times = [request.time for request in server.gets()]
        waits = [b - a for a, b in itertools.pairwise(times)]
        assert (done.reason, done.attempts) == ("http_500", 4)
        assert all(wait >= 0.05 * 2**n for n, wait in enumerate(waits))

    def test_a_server_that_hangs_up_is_asked_again(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [failing(hang_up=True), served(mugs)]
        assert puller.one(server.url(URL), size=len(mugs)).status == "fetched"

    def test_silence_in_the_middle_is_a_broken_connection(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = [served(mugs, pause=3, pause_after=128_000), served(mugs)]
        done = puller.one(server.url(URL), size=len(mugs), read_timeout=0.5)
        assert done.status == "fetched"
        assert server.ranges()[1] is not None
        assert puller.content() == mugs

    def test_a_drip_is_a_broken_connection(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = [served(mugs, pause=0.5, pause_after=64_000), served(mugs)]
        done = puller.one(server.url(URL), size=len(mugs), stall_timeout=0.2, stall_speed=10_000_000)
        assert any("bytes per second" in note for note in done.notes)
        assert puller.content() == mugs


@pytest.mark.parametrize(
    ("status", "said"), [(404, "not there"), (410, "not there"), (403, "a login"), (401, "a login")]
)
def test_an_http_error_is_final(puller: Any, server: Any, failing: Any, status: int, said: str) -> None:
    server.routes[URL] = failing(status)
    done = puller.one(server.url(URL), size=9)
    assert (done.status, done.reason, done.attempts) == ("failed", f"http_{status}", 1)
    assert said in done.detail
    assert f"put it at {puller.path()}" in done.detail


def test_one_file_that_fails_stops_no_other(
    puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
) -> None:
    server.routes["/good"] = served(mugs)
    report = puller(puller.file(server.url("/gone"), "a.gz"), puller.file(server.url("/good"), "b.gz"))
    assert [file.status for file in report.files] == ["failed", "fetched"]
    assert not report.complete


class TestRedirects:
    def to(self, failing: Any, location: str, status: int = 302) -> Any:
        return failing(status, (("Location", location),))

    def test_they_are_followed(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/old"] = self.to(failing, "/new%20place?signature=secret", 301)
        server.routes["/new%20place"] = [served(mugs, cut=100_000), served(mugs)]
        done = puller.one(server.url("/old"), size=len(mugs))
        assert done.status == "fetched"
        # Continued through the redirect, which may lead elsewhere by then.
        assert server.ranges("/new%20place") == [None, "bytes=100000-"]
        assert done.url == server.url("/old")

    def test_a_circle_ends(self, puller: Any, server: Any, failing: Any) -> None:
        server.routes["/a"] = self.to(failing, "/b")
        server.routes["/b"] = self.to(failing, "/a")
        done = puller.one(server.url("/a"), size=9)
        assert (done.status, done.reason) == ("failed", "redirect_loop")
        assert len(server.gets()) == 2

    def test_the_body_of_one_is_not_read(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/a"] = failing(302, (("Location", "/b"),), drip=8.0)
        server.routes["/b"] = served(mugs)
        began = time.monotonic()
        assert puller.one(server.url("/a"), size=len(mugs)).status == "fetched"
        assert time.monotonic() - began < 4

    def test_a_location_in_latin_1_is_followed(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/a"] = self.to(failing, "/caf\xe9")
        server.routes["/caf%C3%A9"] = served(mugs)
        assert puller.one(server.url("/a"), size=len(mugs)).status == "fetched"

    def test_a_location_that_is_no_url_is_not_shown(self, puller: Any, server: Any, failing: Any) -> None:
        server.routes["/a"] = self.to(failing, "http://[::1/x?X-Amz-Signature=abc123")
        done = puller.one(server.url("/a"), size=9)
        assert (done.status, done.reason) == ("failed", "bad_url")
        assert f"127.0.0.1:{server.port} redirects to a URL that may not be requested" in done.detail
        assert "abc123" not in done.detail

    def test_a_long_chain_ends(self, puller: Any, server: Any, failing: Any) -> None:
        for number in range(9):
            server.routes[f"/{number}"] = self.to(failing, f"/{number + 1}")
        done = puller.one(server.url("/0"), size=9, max_redirects=3)
        assert done.reason == "too_many_redirects"
        assert len(server.gets()) == 4

    def test_they_are_checked_as_addresses_are(self, puller: Any, server: Any, failing: Any) -> None:
        server.routes[URL] = self.to(failing, "http://169.254.169.254/latest/meta-data/")
        done = puller.one(server.url(URL), size=9)
        assert (done.status, done.reason) == ("failed", "private_address")
        assert "fetch.private_networks" in done.detail

    def test_the_own_network_has_to_be_allowed(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(b"\x1f\x8b")
        done = puller.one(server.url(URL), fetch=FetchSettings())
        assert done.reason == "private_address"
        assert server.log == []

    def test_a_name_is_asked_at_the_checked_address(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(b"\x1f\x8bfile")
        asked: list[str] = []

        def lookup(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

        fetch = FetchSettings(private_networks=("127.0.0.0/8",))
        transport = Transport(puller.settings(), fetch, Resolver(fetch.allowed_networks, lookup))
        answer = transport.open(f"http://files.example:{server.port}{URL}")
        assert not isinstance(answer, Failed)
        assert answer.read() == b"\x1f\x8bfile"
        answer.close()
        assert asked == ["files.example"]
        assert server.log[0].headers["Host"] == f"files.example:{server.port}"


class TestOverTls:
    @pytest.fixture
    def certified(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """A server over TLS whose certificate is for 127.0.0.1 alone."""
        if shutil.which("openssl") is None:
            pytest.skip("makes its certificate with openssl")
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        wanted = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=files"
        subprocess.run(
            [
                *("openssl", "req", *wanted.split(), "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with file_server.serving_files(context) as running:
            yield running

    def test_a_file_breaks_off_and_continues(
        self, puller: Any, certified: Any, served: Any, mugs: bytes
    ) -> None:
        certified.routes[URL] = [served(mugs, cut=100_000), served(mugs)]
        assert puller.one(certified.url(URL)).status == "fetched"
        assert certified.ranges() == [None, "bytes=100000-"]
        assert puller.content() == mugs

    def test_more_bytes_than_announced_are_found(
        self, puller: Any, certified: Any, served: Any, mugs: bytes
    ) -> None:
        certified.routes[URL] = served(mugs, lie=-10)
        assert puller.one(certified.url(URL)).reason == "wrong_length"

    def test_nothing_leads_back_to_plain_http(
        self, puller: Any, certified: Any, failing: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        certified.routes[URL] = failing(302, (("Location", server.url(URL)),))
        done = puller.one(certified.url(URL))
        assert (done.status, done.reason) == ("failed", "insecure_redirect")
        assert server.log == []

    def test_certificates_that_are_not_there_are_named(
        self, puller: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        done = puller.one("https://127.0.0.1:1/a.gz", size=9)
        assert (done.status, done.reason, done.attempts) == ("failed", "no_certificates", 1)
        assert "REQUESTS_CA_BUNDLE" in done.detail

    def test_the_certificate_must_be_the_names(
        self, puller: Any, certified: Any, served: Any, mugs: bytes
    ) -> None:
        certified.routes[URL] = served(mugs)
        done = puller.one(certified.url(URL, host="localhost"))
        assert (done.status, done.reason) == ("failed", "tls_failed")
        assert certified.log == []


class TestSomethingElseThanTheFile:
    @pytest.mark.parametrize("name", ["a.json.gz", "a.json.zst", "a.parquet", "a.jsonl", "a.csv", "a.json"])
    def test_a_web_page_is_rejected(self, puller: Any, server: Any, served: Any, name: str) -> None:
        server.routes[URL] = served(PAGE)
        done = puller.one(server.url(URL), name)
        assert (done.status, done.reason, done.attempts) == ("failed", "not_the_file", 1)
        assert "web page, “Sign in to continue”" in done.detail
        assert puller.left() == []

    def test_its_title_cannot_steer_a_terminal(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(PAGE.replace(b"Sign", b"\x1b]0;owned\x07Sign"))
        done = puller.one(server.url(URL))
        assert "web page, “\\u001b]0;owned\\u0007Sign in" in done.detail
        assert done.detail.isprintable()

    def test_a_long_one_is_not_read_to_its_end(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(PAGE + bytes(30_000_000), pause=5, pause_after=20_000_000)
        done = puller.one(server.url(URL))
        assert done.reason == "not_the_file"
        assert done.received < 20_000_000

    @pytest.mark.parametrize(
        ("name", "kind"), [("a.gz", "gzip"), ("a.zst", "Zstandard"), ("a.parquet", "Parquet")]
    )
    def test_other_bytes_are_rejected(
        self, puller: Any, server: Any, served: Any, name: str, kind: str
    ) -> None:
        server.routes[URL] = served(b'{"error": "not found"}')
        assert f"does not begin as a {kind} file does" in puller.one(server.url(URL), name).detail

    @pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json.zst"])
    def test_a_compressed_file_without_its_ending_is_rejected(
        self, puller: Any, server: Any, served: Any, mugs: bytes, name: str
    ) -> None:
        server.routes[URL] = served(mugs)
        done = puller.one(server.url(URL), name)
        assert done.reason == "not_the_file"
        if name != "a.json.zst":
            assert "is a gzip file, and its name does not end in .gz" in done.detail

    def test_a_git_lfs_pointer_is_rejected(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
        assert "Git LFS pointer" in puller.one(server.url(URL), "mave/labels.jsonl").detail

    def test_an_empty_file_is_rejected(self, puller: Any, server: Any, served: Any) -> None:
        server.routes[URL] = served(b"")
        assert "is empty" in puller.one(server.url(URL), "a.csv").detail

    def test_a_parquet_file_has_an_end(self, puller: Any, server: Any, served: Any) -> None:
        buffer = io.BytesIO()
        pq.write_table(pa.table({"a": [1, 2]}), buffer)
        server.routes["/whole"], server.routes["/cut"] = (
            served(buffer.getvalue()),
            served(buffer.getvalue()[:-9]),
        )
        assert puller.one(server.url("/whole"), "a.parquet").status == "fetched"
        assert "truncated" in puller.one(server.url("/cut"), "b.parquet").detail

    def test_the_right_ones_are_taken(self, puller: Any, server: Any, served: Any) -> None:
        good = {
            "a.json.zst": pa.compress(b"{}\n" * 9, codec="zstd", asbytes=True),
            "a.json.gz": gzip.compress(b"{}"),
            "a.jsonl": b'{"title": "<html>"}\n',
            "a.csv": b"product_id,image_url\n",
        }
        for name, content in good.items():
            server.routes[f"/{name}"] = served(content)
        report = puller(*(puller.file(server.url(f"/{name}"), name) for name in good))
        assert [file.status for file in report.files] == ["fetched"] * 4

    def test_a_stored_gzip_that_is_called_encoded_is_the_file(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs, headers=(("Content-Encoding", "gzip"),))
        assert puller.one(server.url(URL)).status == "fetched"
        assert puller.content() == mugs

    def test_a_compressed_response_fails(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = served(mugs, headers=(("Content-Encoding", "gzip"),))
        assert puller.one(server.url(URL), "a.csv").reason == "encoded_body"


class TestChecksum:
    def test_the_stated_one_is_compared(
        self, puller: Any, server: Any, served: Any, mugs: bytes, hash_of: Any
    ) -> None:
        server.routes[URL] = served(mugs)
        assert puller.one(server.url(URL), sha256=hash_of(mugs).upper()).status == "fetched"

    def test_a_file_of_another_is_kept_aside(
        self, puller: Any, server: Any, served: Any, mugs: bytes, hash_of: Any
    ) -> None:
        server.routes[URL] = served(mugs)
        done = puller.one(server.url(URL), sha256="0" * 64)
        assert (done.status, done.reason) == ("rejected", "wrong_checksum")
        assert hash_of(mugs) in done.detail
        assert puller.left() == ["amazon2018/meta_Mugs.json.gz.rejected"]

    def test_another_size_is_detected_before_the_rest_arrives(
        self, puller: Any, server: Any, served: Any, hash_of: Any
    ) -> None:
        large = b"\x1f\x8b" + bytes(20_000_000)
        server.routes[URL] = served(large)
        done = puller.one(server.url(URL), sha256=hash_of(b"the publisher's"), size=744_855_753)
        assert (done.status, done.reason) == ("rejected", "wrong_size")
        assert (
            "the server's file has 20000002 bytes; the file with the stated SHA-256 has 744855753"
            in done.detail
        )
        assert "--set pull.checksums=false" in done.detail
        assert done.received < 5_000_000
        assert puller.left() == []
        assert puller.one(server.url(URL), sha256="0" * 64, size=5, checksums=False).status == "fetched"

    def test_it_can_be_left_out(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        server.routes[URL] = served(mugs)
        assert puller.one(server.url(URL), sha256="0" * 64, checksums=False).status == "fetched"

    def test_another_size_than_stated_gives_a_note(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        done = puller.one(server.url(URL), size=5)
        assert done.status == "fetched"
        assert any("not 5: the publisher has changed it" in note for note in done.notes)


class TestLimits:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_of_one_file(self, puller: Any, server: Any, served: Any, mugs: bytes, chunked: bool) -> None:
        server.routes[URL] = served(mugs, chunked=chunked)
        done = puller.one(server.url(URL), max_bytes=100_000)
        assert (done.status, done.reason) == ("failed", "too_large")
        assert puller.arrived() == 0

    def test_of_connections(self, puller: Any, server: Any, served: Any, mugs: bytes) -> None:
        files = []
        for number in range(8):
            server.routes[f"/{number}"] = served(mugs, pause=0.1)
            files.append(puller.file(server.url(f"/{number}"), f"{number}.gz", size=len(mugs)))
        assert puller(*files, connections=2).complete
        assert server.most_at_once == 2


class TestSecrets:
    def test_no_query_is_shown_or_kept(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes, capsys: Any
    ) -> None:
        secret = "X-Amz-Signature=abc123"
        server.routes["/a"] = served(mugs, cut=10)
        server.routes["/b"] = failing(302, (("Location", f"http://127.0.0.1:1/x?{secret}"),))
        server.routes["/c"] = served(mugs)
        files = [puller.file(server.url(f"{path}?{secret}"), f"{path[1:]}.gz") for path in ("/a", "/b", "/c")]
        report = puller(*files)
        assert [file.status for file in report.files] == ["failed", "failed", "fetched"]
        kept = [
            path.read_bytes()
            for path in puller.folder.rglob("*")
            if path.is_file() and path.suffix in (".json", ".state")
        ]
        assert len(kept) == 2  # the state of the first, and the record
        output = repr(dataclasses.asdict(report)) + capsys.readouterr().err + repr(kept)
        assert "abc123" not in output

    def test_the_user_agent_names_the_program_and_the_contact(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        puller.one(server.url(URL))
        named = FetchSettings(private_networks=("127.0.0.0/8",), contact="me@shop.example")
        puller.one(server.url(URL), "b.gz", fetch=named)
        agents = [request.headers["User-Agent"] for request in server.gets()]
        assert agents[0].startswith("mmecinstruct/")
        assert "(" not in agents[0]
        assert agents[1].endswith("(+me@shop.example)")

    def test_a_redirect_to_another_host_gets_no_authorization(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/a"] = failing(302, (("Location", "/b"),))
        server.routes["/b"] = failing(302, (("Location", server.url("/c", host="localhost")),))
        server.routes["/c"] = served(mugs)
        fetch = FetchSettings(private_networks=("127.0.0.0/8", "::1/128"))
        lookup = {"127.0.0.1": ["127.0.0.1"], "localhost": ["127.0.0.1"]}
        resolver = Resolver(fetch.allowed_networks, lambda host, port: lookup[host])
        answer = Transport(puller.settings(), fetch, resolver).open(
            server.url("/a"), authorization="Bearer x"
        )
        assert not isinstance(answer, Failed)
        answer.close()
        given = {request.path: request.headers.get("Authorization") for request in server.log}
        assert given == {"/a": "Bearer x", "/b": "Bearer x", "/c": None}

    def test_a_redirect_back_gets_no_token(
        self, puller: Any, server: Any, served: Any, failing: Any, mugs: bytes
    ) -> None:
        server.routes["/a"] = failing(302, (("Location", server.url("/c", host="localhost")),))
        server.routes["/c"] = failing(302, (("Location", server.url("/private")),))
        server.routes["/private"] = served(mugs)
        resolver = Resolver(OPEN.allowed_networks, lambda host, port: ["127.0.0.1"])
        answer = Transport(puller.settings(), OPEN, resolver).open(server.url("/a"), authorization="Bearer x")
        assert not isinstance(answer, Failed)
        answer.close()
        given = {request.path: request.headers.get("Authorization") for request in server.log}
        assert given == {"/a": "Bearer x", "/c": None, "/private": None}

    def test_no_password_of_a_netrc_is_sent(
        self, puller: Any, server: Any, served: Any, mugs: bytes, tmp_path: Path, monkeypatch: Any
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        server.routes[URL] = served(mugs)
        assert puller.one(server.url(URL)).status == "fetched"
        assert all("Authorization" not in request.headers for request in server.log)


def test_the_proxy_of_the_environment_is_used(
    puller: Any, server: Any, served: Any, mugs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    server.routes["/far/a.gz"] = [served(mugs, cut=100_000), served(mugs)]
    done = puller.one("http://files.example/far/a.gz", size=len(mugs))
    assert done.status == "fetched"
    assert puller.content() == mugs
    assert {request.headers["Host"] for request in server.log} == {"files.example"}
