"""`caslie_model judge` is killed while it asks a server; the next run asks what was in flight again, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.caslie_model.captions.judges import caption_of, captioned_data, kept_rows
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

ROOT = Path(__file__).parents[3]
COUNT, CONCURRENCY = 60, 4


def logged(data: Path) -> int:
    logs = (data / "captions" / "said" / "judges").glob("*/predictions.jsonl")
    return sum(log.read_bytes().count(b"\n") for log in logs)


@pytest.mark.slow
def test_a_killed_judge_goes_on_and_nothing_is_lost(tmp_path: Path, row: Any, write_rows: Any) -> None:
    captions: list[str | None] = [f"It is number {number}." for number in range(COUNT)]
    data = captioned_data(tmp_path / "data", row, write_rows, captions)

    def answer(asked: Asked) -> Canned:
        number = int(caption_of(asked).removesuffix(".").split()[-1])
        return Canned(completion("yes" if number % 3 else "no"), delay=0.05)

    with ChatServer(answer) as server:
        command = [sys.executable, "-m", "caslie_model", "judge", "--data", str(data), "--captions", "said"]
        command += ["--judge", "vote", "--judges", "openai:one,openai:two", "--server", server.url]
        command += ["--set", "scoring=generate", "--set", f"concurrency={CONCURRENCY}"]

        def start() -> subprocess.Popen[str]:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

        # Once during the first judge, once during the second.
        for count in (20, COUNT + 20):
            killed = start()
            deadline = time.monotonic() + 120
            while logged(data) < count:
                assert killed.poll() is None, "the process ended early"
                assert time.monotonic() < deadline, "too slow"
                time.sleep(0.02)
            killed.kill()
            killed.communicate()
        assert not (data / "captions" / "said" / "kept").exists()
        assert "written:" in start().communicate(timeout=120)[1]
        asked = len(server.asked)
    votes = {row["sample_id"][-4:]: row["votes"] for row in kept_rows(data, "said", "vote")}
    assert votes == {f"{n:04d}": ["yes" if n % 3 else "no"] * 2 for n in range(COUNT)}
    # Twice the concurrency may be in flight: asked, and answered but not yet taken.
    assert 2 * COUNT <= asked <= 2 * COUNT + 2 * 2 * CONCURRENCY
