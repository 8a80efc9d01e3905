"""A pull that a key, a signal, another pull or a full disk stops keeps all bytes that have arrived."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mmecinstruct
from mmecinstruct.core.errors import OutputError, PullError
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files.download import Job, Stopped, Watch, attempt
from mmecinstruct.web.raw_files.partial import Partial
from mmecinstruct.web.raw_files.record import locked
from mmecinstruct.web.raw_files.transport import Transport

URL = "/a/meta_Mugs.json.gz"
SIZE = 4_000_000
OPEN = FetchSettings(private_networks=("127.0.0.0/8",))

# Pulls the files of its first argument into the folder of its second.
PROCESS = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs in the background
from mmecinstruct.web.raw_files import pull, show_pull
from mmecinstruct.recipe import FetchSettings, PullSettings
from mmecinstruct.sources.remote_file import RemoteFile

files = [RemoteFile(origin, "x", url=url, size=size) for origin, url, size in json.loads(sys.argv[1])]
try:
    with show_pull() as listener:
        done = pull(files, Path(sys.argv[2]), PullSettings(**json.loads(sys.argv[3])), listener,
                    fetch=FetchSettings(private_networks=("127.0.0.0/8",)))
except KeyboardInterrupt:
    sys.exit(130)
print(json.dumps(done.to_json()))
"""


def command(files: list[Any], folder: Path, settings: dict[str, Any]) -> list[str]:
    wanted = json.dumps([(file.origin, file.url, file.size) for file in files])
    given = json.dumps({"retries": 0, "space_margin": 0, "backoff_base": 0.01, **settings})
    return [sys.executable, "-c", PROCESS, wanted, str(folder), given]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(mmecinstruct.__file__).parents[1]), "NO_PROXY": "*"}


@pytest.fixture
def start(puller: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a pull in a process of its own."""
    running = []

    def begin(*files: Any, **settings: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(list(files), puller.folder, settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def large() -> bytes:
    return b"\x1f\x8b" + os.urandom(SIZE)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_arrived_images_are_not_requested_again(
    puller: Any, server: Any, served: Any, large: bytes, start: Any, how: signal.Signals
) -> None:
    server.routes[URL] = served(large, pause=20, pause_after=3_000_000)
    process = start(puller.file(server.url(URL)))
    wait_until(lambda: puller.arrived() >= 3_000_000)
    began = time.monotonic()
    process.send_signal(how)
    assert process.wait(20) in (130, -signal.SIGKILL)
    assert time.monotonic() - began < 10  # nobody waits for the silent server
    arrived = puller.arrived()
    server.routes[URL] = served(large)
    done = puller.one(server.url(URL))
    assert (done.status, done.continued_at, done.received) == ("fetched", arrived, len(large) - arrived)
    assert server.ranges()[-1] == f"bytes={arrived}-"
    assert puller.content() == large


@pytest.mark.slow
def test_a_pull_that_is_killed_repeatedly_finishes(
    puller: Any, server: Any, served: Any, large: bytes, start: Any
) -> None:
    for reached in (1_000_000, 2_000_000, 3_000_000):
        server.routes[URL] = served(large, pause=20, pause_after=reached)
        process = start(puller.file(server.url(URL)))
        wait_until(lambda reached=reached: puller.arrived() >= reached)
        process.kill()
        process.wait(20)
    server.routes[URL] = served(large)
    assert puller.one(server.url(URL)).received < 1_100_000
    assert puller.content() == large


@pytest.mark.slow
def test_two_pulls_of_one_folder_are_kept_apart(
    puller: Any, server: Any, served: Any, large: bytes, start: Any
) -> None:
    server.routes[URL] = served(large, pause=20, pause_after=1_000_000)
    process = start(puller.file(server.url(URL)))
    wait_until(lambda: puller.arrived() >= 1_000_000)
    with pytest.raises(PullError, match=rf"another pull \(process {process.pid}\) works in"):
        puller.one(server.url(URL))
    process.kill()
    process.wait(20)
    server.routes[URL] = served(large)
    assert puller.one(server.url(URL)).status == "fetched"


def test_a_thread_that_a_stopped_pull_left_behind_touches_nothing(
    puller: Any, server: Any, served: Any, mugs: bytes, pots: bytes
) -> None:
    server.routes[URL] = served(mugs, cut=100_000)
    file = puller.file(server.url(URL))
    puller(file, retries=0)
    server.routes[URL] = served(pots)  # the bytes that are there would be discarded
    stop = threading.Event()
    stop.set()
    job = Job(file, puller.path(), Partial(puller.path()))
    watch = Watch(stop, lambda *arguments: None, lambda *arguments: None)
    with pytest.raises(Stopped):
        attempt(job, Transport(puller.settings(), OPEN), puller.settings(), watch)
    assert puller.path(f"{file.origin}.partial").read_bytes() == mugs[:100_000]


def test_the_lock_is_free_after_a_pull(puller: Any) -> None:
    puller.one(None, by_hand="Drive")
    with locked(puller.folder):
        pass


def test_a_folder_that_cannot_be_made_is_an_error(puller: Any) -> None:
    puller.folder.write_text("a file")
    with pytest.raises(OutputError, match="is a file; give a folder"):
        puller.one("http://127.0.0.1:1/")


@pytest.mark.slow
def test_the_log_has_the_plan_and_each_file(
    puller: Any, server: Any, served: Any, large: bytes, start: Any
) -> None:
    server.routes[URL] = [served(large, cut=1_500_000), served(large)]
    process = start(
        puller.file(server.url(URL), size=len(large)), puller.file(server.url("/gone"), "b.gz"), retries=1
    )
    output, log = process.communicate(timeout=30)
    report = json.loads(output)
    assert [file["status"] for file in report["files"]] == ["fetched", "failed"]
    assert "2 files: 0 there, 2 to fetch (4.0 MB and 1 of unknown size)" in log
    assert "meta_Mugs.json.gz: 1500000 of 4000002 bytes arrived; again in" in log
    assert "meta_Mugs.json.gz: fetched, 4.0 MB" in log
    assert "b.gz: failed: " in log


class TestDiskThatTakesNoMore:
    @pytest.mark.slow
    def test_a_full_one_stops_all_and_keeps_arrived_bytes(
        self, puller: Any, server: Any, served: Any, large: bytes
    ) -> None:
        small_disk = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=3m none "$0" && exec "$@"']
        puller.folder.mkdir()
        if subprocess.run([*small_disk, str(puller.folder), "true"], capture_output=True).returncode:
            pytest.skip("a small disk cannot be mounted here")
        server.routes[URL] = server.routes["/b"] = served(large, chunked=True)
        files = [puller.file(server.url(URL)), puller.file(server.url("/b"), "b.gz")]
        listing = 'import os; print(os.path.getsize(sys.argv[2] + "/amazon2018/meta_Mugs.json.gz.partial"))'
        call = command(files, puller.folder, {"connections": 1})
        call[2] += listing
        done = subprocess.run(
            [*small_disk, str(puller.folder), *call],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
        report, size = done.stdout.splitlines()
        files_done = json.loads(report)["files"]
        assert [(file["status"], file["reason"]) for file in files_done] == [("failed", "disk_full")] * 2
        assert "No space left on device" in files_done[0]["detail"]
        assert "free space and run the same command again" in files_done[0]["detail"]
        assert int(size) > 2_000_000
        assert len(server.gets("/b")) == 0

    @pytest.mark.slow
    def test_a_file_that_may_not_grow_stops_no_other(
        self, puller: Any, server: Any, served: Any, large: bytes, mugs: bytes
    ) -> None:
        server.routes[URL], server.routes["/b"] = served(large), served(mugs)
        files = [
            puller.file(server.url(URL), size=len(large)),
            puller.file(server.url("/b"), "b.gz", size=len(mugs)),
        ]
        limit = 1_000_000
        done = subprocess.run(
            command(files, puller.folder, {}),
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        first, second = json.loads(done.stdout)["files"]
        assert (first["status"], first["reason"], second["status"]) == ("failed", "not_written", "fetched")
        assert "File too large" in first["detail"]
        assert puller.arrived() == limit
        assert puller.one(server.url(URL)).received == len(large) - limit

    def test_a_folder_that_may_not_be_written(
        self, puller: Any, server: Any, served: Any, mugs: bytes
    ) -> None:
        server.routes[URL] = served(mugs)
        puller.folder.mkdir()
        (puller.folder / "amazon2018").write_text("a file where a folder is wanted")
        done = puller.one(server.url(URL))
        assert (done.status, done.reason) == ("failed", "not_written")
        assert "amazon2018" in done.detail
