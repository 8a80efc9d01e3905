"""Hostile servers: `mmec images` and `mmec pull` end in time, in memory, and connect to nothing that is not public."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from attack_images import SECRET, contents
from attack_runs import Attack, Bench, Fault, Finding, Ran, last_line, wrong
from attack_shop import encoded, picture
from attack_tables import found

GROUP = "hostile servers"
CHECKED = (
    "each address has an outcome in time, memory below 2 GB, sound images are kept, a listener on another loopback "
    "address hears nothing, planted passwords and signatures are in no file of --out and in no message"
)
OWN = "PLANTED-PASSWORD-8807"
PRIVATE = (
    "127.0.0.2",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.8",
    "192.0.0.192",
    "100.100.100.200",
    "10.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.2]",
    "[64:ff9b::7f00:2]",
    "2130706434",
    "0x7f000002",
    "0177.0.0.2",
    "127.2",
)


@dataclass
class Heard:
    """The addresses that connected to a listener, and its port."""

    heard: list[str]
    port: int


@contextmanager
def listener() -> Iterator[Heard]:
    """Listen on another address of the loopback; yield what connected."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.2", 0)) as server:
        server.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    connection, address = server.accept()
                except OSError:
                    continue
                connection.close()
                heard.append(address[0])

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield Heard(heard, server.getsockname()[1])
        finally:
            over.set()
            thread.join()


def fetching(bench: Bench, folder: Path, urls: Sequence[str], *more: str, limit: float = 100) -> Ran:
    """Run `mmec images` over addresses."""
    (folder / "urls.csv").write_text("\n".join(["image_url", *urls]) + "\n")
    command = [
        *("mmec", "images", "urls.csv", "--out", "out", "--workspace", "workspace", "--workers", "1"),
        *(
            "--set",
            "fetch.enabled=true",
            "--set",
            "fetch.contact=https://example.com/attack",
            "--set",
            "fetch.retries=0",
        ),
        *("--set", "fetch.private_networks=[127.0.0.1/32]", "--set", "fetch.requests_per_second=1000"),
        *(
            "--set",
            "fetch.total_timeout=4",
            "--set",
            "fetch.read_timeout=2",
            "--set",
            "fetch.connect_timeout=2",
        ),
        *("--set", "fetch.host_failures=1000", "--set", "fetch.max_retry_after=2", *more),
    ]
    return bench.run(command, folder, limit=limit)


def hostile_images(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Images from a server that lies."""
    from tests.servers.image_server import Answer, html, redirect, serving

    image = encoded(picture(0, 1))
    kind = (("Content-Type", "image/png"),)
    with serving() as server, listener() as other:
        routes = {
            "redirect with a password": redirect(
                f"http://user:{SECRET}@127.0.0.1:{server.port}/sound/1.png", 302
            ),
            "redirect with a signature": redirect(f"/gone.png?X-Amz-Signature={SECRET}&token={SECRET}", 302),
            "redirect to itself": redirect("/redirect-to-itself.png"),
            "redirect to a file": redirect("file:///etc/passwd"),
            "redirect to gopher": redirect("gopher://127.0.0.1:70/"),
            "redirect with a line's end": Answer(
                302, headers=(("Location", "/sound/1.png\x0bSet-Cookie: a=b"),)
            ),
            "redirect to nowhere": Answer(302, headers=()),
            "redirect of 100 kB": redirect("/" + "a" * 60_000),
            "endless body": Answer(200, b"\xff\xd8" + b"x" * 1_000_000, kind, chunked=True, repeat=100_000),
            "endless body without a length": Answer(200, b"x" * 1_000_000, kind, length=-1, repeat=100_000),
            "a byte a second": Answer(200, image, kind, drip=1.0),
            "headers after a minute": Answer(200, image, kind, delay=60.0),
            "too short": Answer(200, image, kind, length=len(image) + 1_000),
            "too long": Answer(200, image, kind, length=len(image) // 2),
            "a length of 10 exabytes": Answer(200, image, kind, length=10**19),
            "a negative length": Answer(200, image, (*kind, ("Content-Length", "-5")), length=-1),
            "gzip that grows": Answer(
                200, gzip.compress(b"\0" * 300_000_000, 9), (*kind, ("Content-Encoding", "gzip"))
            ),
            "a header of 1 MB": Answer(200, image, (*kind, ("X-Long", "x" * 1_000_000))),
            "5,000 headers": Answer(200, image, (*kind, *((f"X-{n}", "x") for n in range(5_000)))),
            "a page": html(),
            "hang up": Answer(hang_up=True),
            "status 999": Answer(999, b"", kind),
            "wait for a year": Answer(429, b"", (("Retry-After", "31536000"),)),
            "wait for NaN": Answer(503, b"", (("Retry-After", "nan"),)),
            **{f"redirect to {host}": redirect(f"http://{host}:{other.port}/x.png") for host in PRIVATE},
        }
        paths = {
            name: "/" + "".join(c if c.isalnum() else "-" for c in name.lower()) + ".png" for name in routes
        }
        server.routes |= {paths[name]: answer for name, answer in routes.items()}
        server.routes |= {f"/sound/{n}.png": Answer(200, encoded(picture(0, n)), kind) for n in range(5)}
        direct = {f"at {host}": f"http://{host}:{other.port}/x.png" for host in PRIVATE}
        urls = {name: server.url(path) for name, path in paths.items()} | direct
        urls |= {
            "a password in the address": f"http://user:{OWN}@127.0.0.1:{server.port}/sound/2.png",
            "a line's end in the address": f"http://127.0.0.1:{server.port}/a\x0b.png",
            "a port of 99999": "http://127.0.0.1:99999/a.png",
        }
        sound = [server.url(f"/sound/{n}.png") for n in range(5)]
        ran = fetching(bench, folder, [*urls.values(), *sound])
        if ran.code:
            raise wrong(f"one server stopped the command: {last_line(ran.said)}")
        rows = {row["image_url"]: row for row in pq.read_table(folder / "out" / "images.parquet").to_pylist()}
        rejected = {
            row["origin"]: row for row in pq.read_table(folder / "out" / "rejections.parquet").to_pylist()
        }
        if any(rows.get(url, {}).get("status") not in ("kept", "ok") for url in sound):
            raise wrong("a sound image beside the hostile ones was not kept")
        findings = [Finding(name, fault_of(name, url, rows, rejected)) for name, url in urls.items()]
        for what, planted, where in (
            ("of redirects", SECRET, ("out", "workspace")),
            ("of an address", OWN, ("out",)),
        ):
            if planted == OWN:
                # The ledger knows an address by itself, and so does the table of images: it is joined by it with the
                # table that was given.
                (folder / "out" / "images.parquet").unlink()
            places = [place for place in where if planted.encode() in contents(folder / place)]
            if planted in ran.said:
                places.append("the messages")
            leak = wrong(f"a planted one is in {', '.join(places)}") if places else None
            findings.append(Finding(f"passwords and signatures {what}", leak))
        heard = wrong(f"{len(other.heard)} connections to a private address") if other.heard else None
        return [*findings, Finding("the listener at 127.0.0.2", heard)]


# What may be kept all the same: the image did arrive.
HARMLESS = {
    "a header of 1 MB",
    "5,000 headers",
    "too long",
    "a negative length",
    "redirect with a line's end",
}


def fault_of(name: str, url: str, rows: dict[str, dict], rejected: dict[str, dict]) -> Fault | None:  # type: ignore[type-arg]
    """Return what is wrong with the outcome of an address."""
    row = rows.get(url, {})
    if row.get("status") in ("kept", "ok") and name not in HARMLESS:
        return wrong("kept as an image")
    if not row and not any(url.split("?")[0].split("@")[-1] in str(origin) for origin in rejected):
        return wrong("neither kept nor rejected")
    private = name.startswith(("redirect to ", "at ")) and any(host in name for host in PRIVATE)
    reason = row.get("reason") or ""
    if private and reason and reason not in ("private_address", "bad_url", "unknown_host", "dns_failed"):
        return wrong(f"not refused as a private address but after a try: {reason}")
    return None


def raw_files(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Raw files from a mirror that lies."""
    from tests.servers.image_server import Answer, html, redirect, serving

    text = (("Content-Type", "application/octet-stream"),)
    body = b'{"questionText": "a"}\n' * 2_000
    with serving() as server, listener() as other:
        answers = {
            "a page instead": html(),
            "a pointer of Git LFS": Answer(
                200, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", text
            ),
            "redirect to itself": redirect("/amazonqa/val-qar.jsonl"),
            "redirect to a private address": redirect(f"http://127.0.0.2:{other.port}/x"),
            "redirect with a signature that fails": redirect(f"/gone?X-Amz-Signature={SECRET}"),
            "redirect with a password": redirect(f"http://user:{SECRET}@127.0.0.1:{server.port}/gone"),
            "too short": Answer(200, body, text, length=len(body) + 5_000),
            "a length of 10 exabytes": Answer(200, body, text, length=10**19),
            "nothing": Answer(200, b"", text),
            "a header of 1 MB": Answer(403, b"", (*text, ("X-Long", "x" * 1_000_000))),
            "hang up": Answer(hang_up=True),
            "a byte a second": Answer(200, body, text, drip=1.0),
        }

        def one(name: str, number: int) -> None:
            server.routes["/amazonqa/val-qar.jsonl"] = answers[name]
            raw = folder / f"raw-{number}"
            command = [
                *("mmec", "pull", "--recipe", "paper", "--data", str(raw), "--only", "amazonqa/val*"),
                *(
                    "--mirror",
                    f"http://127.0.0.1:{server.port}/",
                    "--set",
                    "pull.retries=1",
                    "--set",
                    "pull.space_margin=0",
                ),
                *(
                    "--set",
                    "pull.read_timeout=3",
                    "--set",
                    "pull.stall_timeout=3",
                    "--set",
                    "pull.stall_speed=5000",
                ),
                *("--set", "pull.backoff_base=0.1"),
            ]
            ran = bench.run(command, folder, limit=60)
            if ran.code == 0 or (raw / "amazonqa" / "val-qar.jsonl").exists():
                raise wrong("taken as the file")
            if SECRET in ran.said or (raw.exists() and SECRET.encode() in contents(raw)):
                raise wrong("a planted password or signature was written or said")
            if other.heard:
                raise wrong("a private address was connected to")

        return [found(f"pull: {name}", lambda n=n, name=name: one(name, n)) for n, name in enumerate(answers)]


def endpoints(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Passwords in the addresses of the Hub and of a proxy."""
    from attack_shop import dataset, trained

    places = {
        "HF_ENDPOINT": {
            "HF_ENDPOINT": f"http://user:{SECRET}@127.0.0.1:9",
            "HF_TOKEN": SECRET,
            "HF_HUB_OFFLINE": "0",
        },
        "https_proxy": {
            "https_proxy": f"http://user:{SECRET}@127.0.0.1:9",
            "HF_TOKEN": SECRET,
            "HF_HUB_OFFLINE": "0",
        },
    }
    commands = {
        "push a dataset": ["mmec", "push-to-hub", str(dataset(bench)), "--repo", "attacker/shop"],
        "push a model": [
            "caslie_model",
            "push-to-hub",
            str(trained(bench)[0]),
            "attacker/model",
            "--license",
            "mit",
        ],
        "pull": [
            "mmec",
            "pull",
            "--recipe",
            "paper",
            "--data",
            str(folder / "raw"),
            "--only",
            "esci",
            "--set",
            "pull.retries=0",
        ],
        "read a dataset": [
            "caslie_model",
            "evaluate",
            "--model",
            str(trained(bench)[0]),
            "--data",
            "attacker/shop",
            "--out",
            "out",
        ],
    }

    def one(environment: dict[str, str], command: list[str]) -> None:
        ran = bench.run(command, folder, environment=environment, limit=90)
        if ran.code == 0:
            raise wrong("exit 0 without a server")
        if SECRET in ran.said:
            raise wrong("the password or the token is in the message")

    return [
        found(f"{what}: a password in {where}", lambda e=environment, c=command: one(e, c))
        for where, environment in places.items()
        for what, command in commands.items()
    ]


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    return [
        Attack(GROUP, "image servers", hostile_images, quick=True),
        Attack(GROUP, "mirrors", raw_files),
        Attack(GROUP, "endpoints", endpoints),
    ]
