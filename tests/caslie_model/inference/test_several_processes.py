"""Several processes share the questions of a run, as torchrun starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import caslie_model
from caslie_model.inference.prediction_log import PREDICTIONS, read_records

ROOT = Path(__file__).parents[3]


def in_two(data: Path, out: Path, *options: str, script: str = "") -> subprocess.CompletedProcess[str]:
    """Run `predict` or `evaluate` in two processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = ("-m", "caslie_model") if not script else (script,)
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
            *("--master-addr=127.0.0.1", f"--master-port={port}", *started),
            *(options[0], "--model", "tiny", "--data", str(data), "--out", str(out), *options[1:]),
            *("--set", "device=cpu", "--tasks", "sa,ap"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


KILLED = """
import os, signal
from caslie_model.inference.prediction_log import PredictionFile
from caslie_model.runtime.processes import process_number

append, times = PredictionFile.append, []

def stop(self, records):
    append(self, records)
    times.append(1)
    if len(times) == 4 and process_number() == 1:
        os.kill(os.getpid(), signal.SIGKILL)

PredictionFile.append = stop
from caslie_model.cli.app import main
main()
"""


@pytest.mark.slow
def test_two_processes_answer_each_sample_once_like_one(dataset: Path, tmp_path: Path) -> None:
    one = caslie_model.evaluate(
        "tiny", dataset, tmp_path / "one", tasks=["sa", "ap"], permute_options=1, device="cpu"
    )
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    options = ("--permute-options", "1", "--batch-size", "2")
    killed = in_two(dataset, tmp_path / "two", "predict", *options, script=str(script))
    assert killed.returncode != 0
    parts = sorted(path.name for path in (tmp_path / "two").glob("predictions*.jsonl"))
    assert parts == [PREDICTIONS, "predictions.part-1.jsonl"]
    answered = [line for name in parts for line in (tmp_path / "two" / name).read_text().splitlines()]
    assert (
        len({(json.loads(line)["id"], json.loads(line)["variant"]) for line in answered})
        == len(answered)
        >= 8
    )
    done = in_two(dataset, tmp_path / "two", "evaluate", *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(one.metrics))
    assert done.stderr.count("2 processes") == 1
    assert f"{len(answered)} answered already" in done.stderr
    assert read_records(tmp_path / "two") == read_records(tmp_path / "one")
    whole = (tmp_path / "two" / PREDICTIONS).read_text().splitlines()
    assert len(whole) == len(read_records(tmp_path / "one"))
    assert set(answered) <= set(whole)
    for name in ("metrics.json", "metrics.md"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not list((tmp_path / "two").glob("*.part-*"))
    # What is wrong is told once, and both processes end.
    wrong = in_two(dataset, tmp_path / "two", "evaluate", "--scoring", "likelihood")
    assert wrong.returncode != 0
    assert wrong.stderr.count("holds predictions of another model or other settings (scoring differ)") <= 2
