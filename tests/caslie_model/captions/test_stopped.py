"""The command is killed, and interrupted, while it asks a server; the next run goes on where it was."""

from __future__ import annotations

import io
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
from PIL import Image

from caslie_model.captions.run import LOG
from tests.caslie_model.captions.conftest import rows_of
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

ROOT = Path(__file__).parents[3]
COUNT, CONCURRENCY = 90, 4
CC = "category_classification"


class Counting:
    """Answers each title, or image, after a moment, and counts its answers."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Canned:
        lines = [line for line in asked.text.splitlines() if line.startswith("title: ")]
        title = json.loads(lines[0].removeprefix("title: ")) if lines else ""
        shown = asked.body["messages"][0]["content"]
        key = title or shown[0]["image_url"]["url"]
        with self._lock:
            self.answered[key] += 1
            number = len(self.answered)
        return Canned(completion(f"It shows {title or number}."), delay=0.05)


def image(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20 + number, 20), (200, 40, 40)).save(stream, "PNG")
    return stream.getvalue()


def logged(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def wait_for(log: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while logged(log) < count:
        assert process.poll() is None, "the process ended early"
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.02)


def write_data(folder: Path, row: Any, write_rows: Any, count: int) -> Path:
    rows = [
        row(
            number,
            CC,
            "test",
            input=json.dumps({"title": f"thing {number}"}),
            images=[{"bytes": image(number), "path": None}],
            image_roles=["product"],
        )
        for number in range(count)
    ]
    return write_rows(folder, rows)


def start(data: Path, url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "caslie_model", "caption", "--data", str(data)]
    command += ["--captioner", "openai:tiny", "--server", url, "--set", f"concurrency={CONCURRENCY}", *more]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # pytest in the background ignores Ctrl-C, and its children would.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


@pytest.mark.slow
def test_a_stopped_command_asks_only_what_was_in_flight_again(
    tmp_path: Path, row: Any, write_rows: Any
) -> None:
    data = write_data(tmp_path / "data", row, write_rows, COUNT)
    log = data / "captions" / "tiny" / LOG
    answers = Counting()
    with ChatServer(answers) as server:
        killed = start(data, server.url)
        wait_for(log, 20, killed)
        killed.kill()
        killed.communicate()
        interrupted = start(data, server.url)
        wait_for(log, 45, interrupted)
        interrupted.send_signal(signal.SIGINT)
        assert "captions that came are kept" in interrupted.communicate(timeout=60)[1]
        assert interrupted.returncode == 130
        assert not list(log.parent.glob("*.parquet"))
        assert start(data, server.url).communicate(timeout=120)[1].count("written:") == 1
    captions = {row["sample_id"]: row["caption"] for row in rows_of(data, "tiny", CC, "test")}
    assert captions == {f"{CC}-test-{number:04d}": f"It shows thing {number}." for number in range(COUNT)}
    assert logged(log) == COUNT
    twice = sum(count - 1 for count in answers.answered.values())
    # Twice the concurrency may be in flight: asked, and answered but not yet taken.
    assert twice <= 2 * 2 * CONCURRENCY


@pytest.mark.slow
def test_a_command_of_two_steps_that_is_killed_in_each_loses_only_what_was_in_flight(
    tmp_path: Path, row: Any, write_rows: Any
) -> None:
    count = 40
    data = write_data(tmp_path / "data", row, write_rows, count)
    log = data / "captions" / "tiny-rewritten" / LOG
    answers = Counting()
    with ChatServer(answers) as server:
        for enough in (15, count + 15):
            killed = start(data, server.url, "--two-step", "openai:pen")
            wait_for(log, enough, killed)
            killed.kill()
            killed.communicate()
            assert not list(log.parent.glob("*.parquet"))
        told = start(data, server.url, "--two-step", "openai:pen").communicate(timeout=120)[1]
    assert told.count("written:") == 1
    captions = {row["sample_id"]: row["caption"] for row in rows_of(data, "tiny-rewritten", CC, "test")}
    assert captions == {f"{CC}-test-{number:04d}": f"It shows thing {number}." for number in range(count)}
    assert logged(log) == 2 * count
    assert sum(times - 1 for times in answers.answered.values()) <= 2 * 2 * CONCURRENCY
