"""A process that asks a faulty server is killed, and goes on where it was."""

from __future__ import annotations

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
from typing import Any

import pytest

from caslie_model.inference.prediction_log import PREDICTIONS
from tests.servers.chat_questions import number_of
from tests.servers.chat_server import Asked, Canned, ChatServer, completion
from tests.servers.faults import fault_of

ROOT = Path(__file__).parents[3]
CONCURRENCY = 16
SA = "sentiment_analysis"
Write = Callable[[int], Path]


@pytest.fixture
def questions(tmp_path: Path, row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path]) -> Write:
    """Write a dataset of so many numbered questions of one length, which are asked in their order."""

    def write(count: int) -> Path:
        reviews = [json.dumps({"review": f"Order {number:04d} came on a Monday."}) for number in range(count)]
        return write_rows(
            tmp_path / "data",
            [row(number, SA, "test", input=review) for number, review in enumerate(reviews)],
        )

    return write


def start(server: ChatServer, data: Path, folder: Path) -> subprocess.Popen[bytes]:
    script = ROOT / "tests" / "servers" / "ask_server.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [
        *(sys.executable, str(script), "predict", "--model", "openai:tiny", "--server", server.url),
        *("--data", str(data), "--out", str(folder), "--tasks", "sa", "--splits", "test"),
        *("--set", "answers=letter", "--set", f"concurrency={CONCURRENCY}", "--set", "request_timeout=4"),
    ]
    return subprocess.Popen(command, env=environment, cwd=folder.parent)


def logged(folder: Path) -> dict[int, str]:
    """Return the prediction of each question in the log, each of which must be there once."""
    path = folder / PREDICTIONS
    content = path.read_bytes() if path.exists() else b""
    lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
    found = {int(line["id"][-4:]): line["prediction"] for line in lines}
    assert len(found) == len(lines)
    return found


def wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(logged(folder)) < count:
        assert process.poll() is None, "the process ended early"
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.05)


class Faulty:
    """Answers each question in the end, after what its number says; counts the answers that it gave."""

    def __init__(self) -> None:
        self.tries: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Canned:
        number = number_of(asked)
        with self._lock:
            self.tries[number] += 1
            fault = fault_of(number) if self.tries[number] == 1 else None
            if fault is None:
                self.answered[number] += 1
        delay = 3.0 if number == 5 else 0.002 * (number % 7)
        return fault or Canned(completion("ABC"[number % 3]), delay=delay)


@pytest.mark.slow
def test_two_thousand_questions_survive_faults_and_two_kills(tmp_path: Path, questions: Write) -> None:
    count, folder, faulty = 2000, tmp_path / "out", Faulty()
    data = questions(count)
    begun = time.monotonic()
    # How many requests there were at a kill, and which questions were in the log.
    kills: list[tuple[int, dict[int, str]]] = []
    with ChatServer(faulty) as server:
        for goal in (600, 1300):
            process = start(server, data, folder)
            wait_for(folder, goal, process)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            # The last requests of the process that is gone may reach the server a moment later.
            time.sleep(0.2)
            kills.append((len(server.asked), logged(folder)))
        assert start(server, data, folder).wait(60) == 0
    assert logged(folder) == {number: "ABC"[number % 3] for number in range(count)}
    for position, kept in kills:
        assert not {number_of(asked) for asked in server.asked[position:]} & set(kept)
    assert server.most_at_once <= CONCURRENCY
    # What was answered twice was in flight, or on its way to the log, when the process was killed.
    assert sum(faulty.answered.values()) - count <= 2 * 2 * CONCURRENCY
    assert time.monotonic() - begun < 60


def test_ctrl_c_ends_at_once_without_a_traceback(tmp_path: Path, questions: Write) -> None:
    def answer(asked: Asked) -> Canned:
        return Canned(completion("A"), delay=0 if number_of(asked) < 20 else 60)

    with ChatServer(answer) as server:
        process = start(server, questions(100), tmp_path / "out")
        wait_for(tmp_path / "out", 20, process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert time.monotonic() - begun < 20
    assert set(logged(tmp_path / "out")) == set(range(20))


LEAVES_EARLY = """
import sys, time
from types import SimpleNamespace
from caslie_model.inference.server import open_server
from tests.servers.chat_questions import Pictures, question

predictor = open_server(SimpleNamespace(model="openai:tiny", server=sys.argv[1], answers="letter"), Pictures())
running = predictor.answer(predictor.prepare([question(number) for number in range(200)]))
next(running)
time.sleep(1)
sys.exit(3)
"""


def test_a_process_that_takes_no_more_answers_can_end() -> None:
    with ChatServer(lambda asked: Canned(completion("A"))) as server:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", LEAVES_EARLY, server.url]
        assert subprocess.run(command, env=environment, timeout=20, check=False).returncode == 3
