"""Only public addresses get requests, and connections go to the checked address."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmecinstruct.web.addresses import WebAddress, check_url, is_public, look_up
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import FetchFailure


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *(
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
        ),
        *(
            "fec0::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ),
        "2001:0:53aa:64c:0:0:80ff:fffe",
        # Metadata services of clouds, relays, benchmarks, documentation, translations of private addresses.
        *("168.63.129.16", "192.0.0.192", "192.0.0.9", "192.0.0.170", "100.100.100.200", "198.18.0.1"),
        *("192.88.99.1", "198.51.100.1", "203.0.113.1", "127.255.255.254", "fd00:ec2::254", "fd20:ce::254"),
        *("::ffff:169.254.169.254", "::ffff:168.63.129.16", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"),
        *(
            "2002:a9fe:a9fe::1",
            "2002:a83f:8110::",
            "100::1",
            "100:0:0:1::1",
            "5f00::1",
            "3fff::1",
            "2001:2::1",
        ),
        *("2001:10::1", "2001:20::1", "2001:1::1", "::7f00:1", "::8.8.8.8", "fe80::1%1", "4000::1", "1::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    found = check_url(f"http://{host}/a.jpg")
    assert isinstance(found, FetchFailure)
    assert (found.status, found.reason) == ("permanent", "private_address")
    own = ipaddress.ip_network(address)
    assert isinstance(check_url(f"http://{host}/a.jpg", [own]), WebAddress)
    other = ipaddress.ip_network("192.168.250.0/24")
    assert isinstance(check_url(f"http://{host}/a.jpg", [other]), FetchFailure)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "2606:4700::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1", "2a00:1450::1"),
        *(
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "168.63.129.17",
            "192.0.1.1",
            "198.20.0.1",
            "2001:200::1",
        ),
    ],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:image/png;base64,AAAA", "data_url"),
        ("DATA:image/png;base64,AAAA", "data_url"),
        ("ftp://shop.example/a.jpg", "unknown_scheme"),
        ("file:///etc/passwd", "unknown_scheme"),
        ("javascript:alert(1)", "unknown_scheme"),
        ("//shop.example/a.jpg", "unknown_scheme"),
        ("a.jpg", "unknown_scheme"),
        ("", "unknown_scheme"),
        ("http://user:word@shop.example/a.jpg", "credentials_in_url"),
        ("http://user@shop.example/a.jpg", "credentials_in_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://shop.example:0/a.jpg", "bad_url"),
        ("http://shop.example:99999/a.jpg", "bad_url"),
        ("http://sh\nop.example/a.jpg", "bad_url"),
        ("http://./a.jpg", "bad_url"),
        ("http://shop.example/" + "a" * 5000, "bad_url"),
    ],
)
def test_urls_that_fail_without_a_request(fetch: Any, url: str, reason: str) -> None:
    found = check_url(url)
    assert isinstance(found, FetchFailure)
    assert (found.status, found.reason) == ("permanent", reason)
    assert fetch.reason(url) == ("permanent", reason)


def test_the_parts_of_a_url() -> None:
    found = check_url("HTTPS://B\u00fccher.Example.:443/a b%2B+\u00f6?x=1#top")
    assert found == WebAddress(
        "https://xn--bcher-kva.example/a%20b%2B+%C3%B6?x=1",
        "https",
        "xn--bcher-kva.example",
        443,
        "/a%20b%2B+%C3%B6?x=1",
    )
    found = check_url("http://[2606:4700::1]:81")
    assert isinstance(found, WebAddress)
    assert (found.host, found.port, found.target, found.origin) == (
        *("2606:4700::1", 81, "/", "http://[2606:4700::1]:81"),
    )


def test_a_loopback_name_is_rejected(fetch: Any, images: Any, answer: Any) -> None:
    """By the system's own resolver."""
    images.default = answer(body=b"x")
    for host in ("localhost", "2130706433", "0x7f.1"):
        url = images.url("/a.jpg", host)
        assert fetch.reason(url, private_networks=(), lookup=look_up) == (*("permanent", "private_address"),)
    assert images.log == []
    # What the settings forbade is no last word once they allow it.
    assert fetch.reason(images.url("/a.jpg", "localhost"), lookup=look_up) == ("fetched", "")


def test_one_private_address_among_public_ones_is_enough(fetch: Any) -> None:
    url = "http://mixed.example/a.jpg"
    found = fetch.row(url, private_networks=(), lookup=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert (found["status"], found["reason"]) == ("permanent", "private_address")
    assert "mixed.example is 10.0.0.1" in found["detail"]


def test_a_redirect_to_a_private_address_fails(fetch: Any, images: Any, redirect: Any) -> None:
    """The network of the server is allowed, the target of its redirect is not."""
    images.routes["/literal.jpg"] = redirect("http://169.254.169.254/latest/meta-data")
    images.routes["/name.jpg"] = redirect(images.url("/secret", "inside.example"))

    def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.5"] if host == "inside.example" else ["127.0.0.1"]

    for path in ("/literal.jpg", "/name.jpg"):
        found = fetch.reason(images.url(path, "shop.example"), lookup=lookup)
        assert found == ("permanent", "private_address")
    assert "/secret" not in images.paths()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "shop.example", ""])
def test_an_invalid_network_is_an_error(text: str) -> None:
    with pytest.raises(ValidationError, match="is no network"):
        FetchSettings(private_networks=(text,))


def test_a_name_is_resolved_once(fetch: Any, images: Any, answer: Any) -> None:
    """A second answer of the resolver, as in DNS rebinding, would lead to a closed port elsewhere."""
    images.default = answer(body=b"x")
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    urls = [images.url(f"/{n}", "rebinding.example") for n in range(20)]
    report = fetch(urls, lookup=lookup, threads=1, connections_per_host=1)
    assert report.counts == {"fetched": 20}
    assert asked == ["rebinding.example"]


def test_a_host_is_tried_at_its_next_address(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    url = images.url("/a.jpg", "two.example")
    # Nothing listens at 127.0.0.3, as the server is bound to one address.
    assert fetch.reason(url, lookup=lambda host, port: ["127.0.0.3", "127.0.0.1"]) == ("fetched", "")


def test_an_address_of_the_next_internet_is_reached(fetch: Any) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    heads: list[bytes] = []

    def serve() -> None:
        with server.accept()[0] as connection:
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    thread = threading.Thread(target=serve, daemon=True)
    with server:
        thread.start()
        port = server.getsockname()[1]
        assert fetch.reason(f"http://[::1]:{port}/a.jpg", honour_robots=False, lookup=look_up) == (
            "fetched",
            "",
        )
        thread.join(5)
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in heads[0]


def test_an_unknown_name_is_asked_for_once_for_all_its_urls(fetch: Any) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    report = fetch([f"http://gone.example/{n}" for n in range(50)], lookup=lookup, retries=5)
    assert report.counts == {"unknown_host": 50}
    assert set(report.snapshot["status"].to_pylist()) == {"transient"}
    assert asked == ["gone.example"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_over_tls_the_certificate_must_be_the_names(
    fetch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=shop.example"),
            *("-addext", "subjectAltName=DNS:shop.example"),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    names: list[str | None] = []
    context.sni_callback = lambda made, name, _: names.append(name)  # type: ignore[assignment]

    def serve(server: socket.socket) -> None:
        while True:
            try:
                raw = server.accept()[0]
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        good = fetch.reason(f"https://shop.example:{port}/a.jpg", honour_robots=False)
        bad = fetch.reason(f"https://other.example:{port}/a.jpg", honour_robots=False)
        server.shutdown(socket.SHUT_RDWR)
    assert good == ("fetched", "")
    assert bad == ("transient", "tls_failed")
    assert names == ["shop.example", "other.example"]
