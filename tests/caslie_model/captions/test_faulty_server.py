"""Captions of a server with faults: a killed command goes on, and no number of requests at a time changes a caption."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from PIL import Image

import caslie_model
from caslie_model.captions.run import LOG
from caslie_model.inference import server_client
from tests.caslie_model.captions.conftest import rows_of
from tests.servers.chat_questions import number_of
from tests.servers.chat_server import Asked, Canned, ChatServer, completion
from tests.servers.faults import fault_of

ROOT = Path(__file__).parents[3]
CC = "category_classification"
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}
CONCURRENCY = 16
# Which title, and which colour the image has.
Pair: TypeAlias = tuple[int, str]
Write = Callable[[int, int], Path]


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (24, 24), COLOURS[colour]).save(stream, "PNG")
    return stream.getvalue()


URLS = {f"data:image/png;base64,{base64.b64encode(png(colour)).decode()}": colour for colour in COLOURS}


def pair_of(asked: Asked) -> Pair:
    [url] = [
        part["image_url"]["url"] for part in asked.body["messages"][-1]["content"] if "image_url" in part
    ]
    return number_of(asked), URLS[url]


def pairs(count: int) -> list[Pair]:
    """Return so many pairs: each title with both images."""
    return [(number, colour) for number in range(count // 2) for colour in COLOURS]


def caption_of(pair: Pair) -> str:
    return f"Thing {pair[0]} is {pair[1]}."


@pytest.fixture
def dataset(tmp_path: Path, row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path]) -> Write:
    """Write a dataset of so many pairs of title and image, and as many further samples that repeat the first ones."""

    def write(count: int, repeated: int) -> Path:
        images = {colour: [{"bytes": png(colour), "path": None}] for colour in COLOURS}
        shown = pairs(count)
        rows = [
            row(
                number,
                CC,
                "test",
                input=json.dumps({"title": f"Order {title} came"}),
                images=images[colour],
                image_roles=["product"],
            )
            for number, (title, colour) in enumerate([*shown, *shown[:repeated]])
        ]
        return write_rows(tmp_path / "data", rows)

    return write


class Faulty:
    """Captions each pair in the end, after what its number says; counts tries and captions."""

    def __init__(self) -> None:
        self.tries: Counter[Pair] = Counter()
        self.captioned: Counter[Pair] = Counter()
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Canned:
        pair = pair_of(asked)
        number = 2 * pair[0] + (pair[1] == "blue")
        with self._lock:
            self.tries[pair] += 1
            fault = fault_of(number) if self.tries[pair] == 1 else None
            self.captioned[pair] += fault is None
        return fault or Canned(completion(caption_of(pair)), delay=0.002 * (number % 7))


def start(server: ChatServer, data: Path) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, str(ROOT / "tests" / "servers" / "ask_server.py"), "caption", "--data", str(data)),
        *("--captioner", "openai:tiny", "--server", server.url),
        *("--set", f"concurrency={CONCURRENCY}", "--set", "request_timeout=4"),
    ]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=data.parent)


def logged(log: Path) -> list[str]:
    """Return the captions in the whole lines of the log."""
    content = log.read_bytes() if log.exists() else b""
    return [json.loads(line)["prediction"] for line in content[: content.rfind(b"\n") + 1].splitlines()]


def wait_for(log: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(logged(log)) < count:
        assert process.poll() is None, "the process ended early"
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.05)


@pytest.mark.slow
def test_two_thousand_requests_survive_faults_and_a_kill(tmp_path: Path, dataset: Write) -> None:
    count, repeated, faulty = 2000, 200, Faulty()
    data = dataset(count, repeated)
    log = data / "captions" / "tiny" / LOG
    with ChatServer(faulty) as server:
        killed = start(server, data)
        wait_for(log, count // 2, killed)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        # The last requests of the process that is gone may reach the server a moment later.
        time.sleep(0.2)
        asked_before, kept = len(server.asked), set(logged(log))
        assert not list(log.parent.glob("*.parquet"))
        assert start(server, data).wait(120) == 0
    # Nothing is lost, and nothing is written twice.
    assert sorted(logged(log)) == sorted(map(caption_of, pairs(count)))
    rows = rows_of(data, "tiny", CC, "test")
    assert [row["caption"] for row in rows] == [
        *map(caption_of, pairs(count)),
        *map(caption_of, pairs(count)[:repeated]),
    ]
    # What was written is not asked again; what was answered twice was in flight, or on its way to the log.
    assert not {caption_of(pair_of(asked)) for asked in server.asked[asked_before:]} & kept
    assert faulty.captioned.keys() == set(pairs(count))
    assert faulty.captioned.total() - count <= 2 * CONCURRENCY
    assert server.most_at_once <= CONCURRENCY
    # A run that nothing disturbs writes the same bytes.
    with ChatServer(lambda asked: Canned(completion(caption_of(pair_of(asked))))) as server:
        whole = caslie_model.caption(
            "openai:tiny", data, tmp_path / "whole", server=server.url, concurrency=32
        )
    assert len(server.asked) == whole.asked == count
    [file] = whole.files
    assert file.read_bytes() == (log.parent / file.name).read_bytes()


def test_requests_at_a_time_change_no_caption_and_equal_ones_are_one(
    tmp_path: Path, dataset: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_client, "BACKOFF_BASE", 0.01)
    count, repeated = 120, 30
    data = dataset(count, repeated)
    contents = []
    for concurrency in (1, 8, 32):
        faulty = Faulty()
        with ChatServer(faulty) as server:
            result = caslie_model.caption(
                "openai:tiny", data, tmp_path / str(concurrency), server=server.url, concurrency=concurrency
            )
        assert (result.images, result.captions, result.requests) == (
            count + repeated,
            count + repeated,
            count,
        )
        assert set(faulty.captioned.values()) == {1}
        assert server.most_at_once <= concurrency
        contents.append([file.read_bytes() for file in result.files])
    assert contents[0] == contents[1] == contents[2]
