"""No image is fetched twice, also after interruptions and retries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.parquet import write_table
from mmecinstruct.recipe import FetchSettings
from mmecinstruct.web.images import SNAPSHOT, ImageStore, Ledger, frozen_snapshot, remove_old_snapshots

SCRIPT = """
import json, sys
from pathlib import Path
from mmecinstruct.web.images import fetch_groups
from mmecinstruct.recipe import FetchSettings

task = json.loads(sys.argv[1])
print("ready", flush=True)
try:
    report = fetch_groups(
        [[url] for url in task["urls"]], FetchSettings.model_validate(task["settings"]), Path(task["folder"])
    )
except KeyboardInterrupt:
    sys.exit(130)
print(json.dumps(report.counts))
"""


def start(fetch: Any, urls: list[str], **changes: Any) -> subprocess.Popen[str]:
    settings = fetch.settings(**changes).model_dump(mode="json")
    task = {"urls": urls, "settings": settings, "folder": str(fetch.folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(task)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_loses_only_the_requests_in_flight(
    fetch: Any, images: Any, answer: Any, how: signal.Signals
) -> None:
    for number in range(120):
        images.routes[f"/{number}"] = answer(body=b"%d" % number * 1000, delay=0.05)
    urls = [images.url(f"/{n}") for n in range(120)]
    process = start(fetch, urls, threads=4, connections_per_host=4)
    wait_until(lambda: len(images.paths()) > 40)
    process.send_signal(how)
    assert process.wait(20) in (130, -signal.SIGKILL)
    asked = len(images.paths())
    assert asked < 110
    report = fetch(urls)
    assert report.counts == {"fetched": 120}
    times = Counter(images.paths())
    assert len(times) == 120
    # Killed outright, a run may also lose what had arrived and was being written.
    assert sum(times.values()) <= 120 + (8 if how == signal.SIGKILL else 4)
    assert report.asked >= 120 - asked
    store = ImageStore(fetch.folder)
    for row in report.snapshot.to_pylist():
        assert store.get(row["sha256"]) is not None
    assert not list((fetch.folder / "arriving").glob("*"))


def test_ctrl_c_does_not_wait_for_a_slow_answer(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x", delay=15)
    process = start(fetch, [images.url("/a")], read_timeout=30, total_timeout=60)
    wait_until(lambda: images.paths() == ["/a"])
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert time.monotonic() - began < 5


def test_two_runs_ask_once(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["/gone"] = answer(404)
    images.routes["/down"] = answer(503)
    urls = [images.url(f"/{n}") for n in range(30)] + [images.url("/gone"), images.url("/down")]
    first = fetch(urls)
    log = len(images.log)
    second = fetch(urls, threads=2)
    assert len(images.log) == log
    assert second.asked == 0
    assert second.snapshot.equals(first.snapshot)


def test_only_transient_failures_are_retried(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/down"] = (answer(503), answer(503), answer(body=b"up again"))
    urls = [images.url("/down"), images.url("/gone")]
    assert fetch(urls).counts == {"http_404": 1, "http_503": 1}
    assert fetch(urls).counts == {"http_404": 1, "http_503": 1}
    assert fetch(urls, retry_failed=True).counts == {"fetched": 1, "http_404": 1}
    assert images.asked("/gone") == 1


def test_the_snapshot_is_the_same_for_any_order_and_number_of_threads(
    fetch: Any, images: Any, answer: Any
) -> None:
    for number in range(40):
        images.routes[f"/{number}"] = answer(404) if number % 3 else answer(body=b"%d" % number)
    urls = [images.url(f"/{n}") for n in range(40)]
    first = fetch(urls, threads=1).snapshot
    assert first["url"].to_pylist() == sorted(urls)
    fetch.folder = fetch.folder.with_name("other")
    assert fetch(urls[::-1], threads=16).snapshot.equals(first)


def test_the_frozen_snapshot_stays_until_a_retry(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/down"] = (answer(503), answer(503), answer(body=b"up"))
    groups = [[images.url("/down")]]

    def frozen(retry_failed: bool = False, **changes: Any) -> tuple[Any, Any]:
        return frozen_snapshot(
            groups,
            fetch.settings(**changes),
            fetch.folder,
            lambda: fetch(groups, retry_failed=retry_failed, **changes),
            depends_on={"min_side": 32},
            retry_failed=retry_failed,
        )

    table, report = frozen()
    assert table["reason"].to_pylist() == ["http_503"]
    assert report is not None
    fetch(groups, retry_failed=True)  # another recipe's build
    again, report = frozen(threads=3, contact="https://other.example")
    assert again.equals(table)
    assert report is None
    renewed, report = frozen(retry_failed=True)
    assert renewed["status"].to_pylist() == ["fetched"]
    assert frozen()[0].equals(renewed)
    [file] = (fetch.folder / "snapshots").iterdir()
    file.write_bytes(b"no table")
    with pytest.raises(WorkspaceError, match="damaged"):
        frozen()


@pytest.mark.parametrize("damage", [b"", b"y", None])
def test_a_damaged_object_is_fetched_again(
    fetch: Any, images: Any, answer: Any, damage: bytes | None
) -> None:
    images.routes["/a"] = answer(body=b"x")
    url = images.url("/a")
    sha256 = fetch.row(url)["sha256"]
    store = ImageStore(fetch.folder)
    if damage is None:
        store.path(sha256).unlink()
    else:
        store.path(sha256).write_bytes(damage)
    # Bytes of another length are seen at once, others when they are read.
    assert fetch([url], accept=lambda content: None).counts == {"fetched": 1}
    assert images.asked("/a") == 2
    assert store.get(sha256) == b"x"


def test_a_damaged_object_is_never_read(fetch: Any, tmp_path: Path) -> None:
    import hashlib

    store = ImageStore(tmp_path)
    sha256 = hashlib.sha256(b"x").hexdigest()
    assert store.get(sha256) is None
    store.put(b"x", sha256)
    store.path(sha256).write_bytes(b"y")
    assert store.has(sha256, 1)
    assert store.get(sha256) is None
    assert not store.has(sha256)


def test_two_processes_do_not_fetch_into_one_folder(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x", delay=1)
    process = start(fetch, [images.url("/a")])
    wait_until(lambda: images.paths() == ["/a"])
    with pytest.raises(WorkspaceError, match="another process"):
        fetch([images.url("/b")])
    assert process.wait(20) == 0
    assert fetch([images.url("/b")]).counts == {"fetched": 1}


def test_a_damaged_ledger_is_named(fetch: Any, images: Any) -> None:
    fetch.folder.mkdir()
    (fetch.folder / "ledger.sqlite").write_bytes(b"this is no database, whatever it is" * 200)
    with pytest.raises(WorkspaceError, match=r"ledger\.sqlite is damaged"):
        fetch([images.url("/a")])


def test_a_ledger_of_another_version_is_an_error(fetch: Any, images: Any) -> None:
    import sqlite3

    Ledger(fetch.folder).close()
    with sqlite3.connect(fetch.folder / "ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(WorkspaceError, match="another version"):
        fetch([images.url("/a")])


def test_a_ledger_of_version_1_keeps_its_rows(fetch: Any, images: Any, answer: Any) -> None:
    import sqlite3

    images.default = answer(body=b"x")
    url = images.url("/a")
    fetch([url])
    with sqlite3.connect(fetch.folder / "ledger.sqlite") as database:
        database.execute("ALTER TABLE images RENAME TO pictures")
        database.execute("PRAGMA user_version = 1")
    database.close()
    for _ in range(2):
        ledger = Ledger(fetch.folder)
        assert ledger.known([url])[url].status == "fetched"
        ledger.close()


def test_the_key_of_a_frozen_snapshot_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """Otherwise a build that was finished long ago would take what the web has now."""
    settings = FetchSettings(enabled=True, contact="https://shop.example/about")
    (tmp_path / "snapshots").mkdir()
    file = tmp_path / "snapshots" / "547bc44f379a179317b61fb961491000.parquet"
    write_table(SNAPSHOT.empty_table(), file)

    def must_not_ask() -> Any:
        raise AssertionError("the web was asked")

    frozen, report = frozen_snapshot(
        [["https://shop.example/a.jpg"]], settings, tmp_path, must_not_ask, depends_on={"refused": {}}
    )
    assert (frozen.num_rows, report) == (0, None)


def test_a_folder_that_cannot_be_written_is_named(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    fetch.folder.mkdir()
    (fetch.folder / "objects").write_bytes(b"a file where a folder belongs")
    with pytest.raises(WorkspaceError, match="objects"):
        fetch([images.url("/a")])


def test_a_ledger_that_cannot_be_written_leaves_no_thread_behind(
    fetch: Any, images: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(ledger: Ledger, outcome: Any) -> None:
        time.sleep(0.2)  # others arrive meanwhile, and cannot be written either
        raise WorkspaceError("the disk is full")

    images.default = answer(body=b"x")
    monkeypatch.setattr(Ledger, "record", full)
    with pytest.raises(WorkspaceError, match="disk is full"):
        fetch([images.url(f"/{number}") for number in range(50)], requests_per_second=200)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]


def test_an_old_snapshot_is_made_anew_without_requests(fetch: Any, images: Any, answer: Any) -> None:
    images.routes["/a"] = answer(body=b"x")
    groups = [[images.url("/a")]]

    def frozen() -> Any:
        return frozen_snapshot(groups, fetch.settings(), fetch.folder, lambda: fetch(groups))

    first, _ = frozen()
    [file] = (fetch.folder / "snapshots").iterdir()
    os.utime(file, (0, 0))
    frozen()  # used now
    assert remove_old_snapshots(fetch.folder, 1) == 0
    os.utime(file, (0, 0))
    assert remove_old_snapshots(fetch.folder, 1) > 0
    assert not file.exists()
    again, report = frozen()
    assert (report.asked, again.equals(first)) == (0, True)
