"""`mmec pull` on the command line: from a recipe, with a mirror instead of the publishers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mmecinstruct

pytest.importorskip("mmecinstruct.sources.publishers", reason="the list of publishers' files is not there")

RECIPE = """
name: two-files
sources:
  - {kind: amazon18_reviews, path: amazon2018/Mugs_5.json.gz}
  - {kind: mave, path: mave/mave_positives_labels.jsonl}
"""
REVIEWS, LABELS = "amazon2018/Mugs_5.json.gz", "mave/mave_positives_labels.jsonl"
# The files replace the publishers', whose hashes some publishers state.
OPEN = tuple(
    part
    for setting in ("fetch.private_networks=[127.0.0.0/8]", "pull.space_margin=0", "pull.checksums=false")
    for part in ("--set", setting)
)


@pytest.fixture
def start(tmp_path: Path, server: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `mmec pull` with the server as the mirror."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    running = []

    def begin(*arguments: str, networks: tuple[str, ...] = OPEN) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mmecinstruct", "pull", "--recipe", "recipe.yaml"),
                *("--mirror", server.url("/mine"), *networks, *arguments),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(mmecinstruct.__file__).parents[1]), "NO_PROXY": "*"},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def mmec_pull(start: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run it to its end."""

    def run(*arguments: str, **given: Any) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **given)
        output, talk = process.communicate(timeout=60)
        assert "Traceback" not in talk
        return subprocess.CompletedProcess(arguments, process.returncode, output, talk)

    return run


@pytest.fixture
def labels() -> bytes:
    return b'{"id": "B00", "category": "Mugs"}\n' * 1000


@pytest.mark.slow
def test_a_killed_pull_continues(start: Any, server: Any, served: Any, labels: bytes, tmp_path: Path) -> None:
    large = b"\x1f\x8b" + os.urandom(3_000_000)
    server.routes[f"/mine/{LABELS}"] = served(labels)
    server.routes[f"/mine/{REVIEWS}"] = served(large, pause=30, pause_after=2_000_000)
    partial = tmp_path / "raw" / f"{REVIEWS}.partial"
    process = start()
    until = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size >= 2_000_000):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    arrived = partial.stat().st_size
    server.routes[f"/mine/{REVIEWS}"] = served(large)
    process = start("--json")
    output, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    files = {file["origin"]: file for file in json.loads(output)["files"]}
    assert files[REVIEWS]["continued_at"] == arrived
    assert server.ranges(f"/mine/{REVIEWS}") == [None, f"bytes={arrived}-"]
    assert (tmp_path / "raw" / REVIEWS).read_bytes() == large
    assert (tmp_path / "raw" / LABELS).read_bytes() == labels


@pytest.mark.slow
def test_results_go_to_stdout(
    mmec_pull: Any, server: Any, served: Any, labels: bytes, mugs: bytes, tmp_path: Path
) -> None:
    server.routes[f"/mine/{LABELS}"], server.routes[f"/mine/{REVIEWS}"] = served(labels), served(mugs)
    plan = mmec_pull("--dry-run")
    assert plan.returncode == 0
    assert "2 files: 0 there, 2 to fetch" in plan.stdout
    assert not (tmp_path / "raw").exists()
    assert [entry["size"] for entry in json.loads(mmec_pull("--dry-run", "--json").stdout)["files"]] == [
        len(mugs),
        len(labels),
    ]
    only = mmec_pull("--only", "mave")
    assert (only.returncode, only.stdout) == (0, f"fetched\t{len(labels)}\t{LABELS}\n")
    done = mmec_pull("--data", "raw")
    assert done.returncode == 0
    assert done.stdout == f"fetched\t{len(mugs)}\t{REVIEWS}\npresent\t{len(labels)}\t{LABELS}\n"
    assert "all 2 files are there" in done.stderr


@pytest.mark.slow
def test_a_missing_file_gives_exit_code_1_after_the_others(
    mmec_pull: Any, server: Any, served: Any, labels: bytes
) -> None:
    server.routes[f"/mine/{LABELS}"] = served(labels)
    done = mmec_pull()
    assert done.returncode == 1
    assert done.stdout == f"failed\t\t{REVIEWS}\nfetched\t{len(labels)}\t{LABELS}\n"
    [output] = [line for line in done.stderr.splitlines() if line.startswith(f"{REVIEWS}: ")]
    assert "failed: 127.0.0.1:" in output
    assert "answered 404" in output
    assert f"put it on the mirror as {server.url(f'/mine/{REVIEWS}')}" in output
    assert done.stderr.count("answered 404") == 1
    assert "--mirror" not in done.stderr
    assert f"missing: {REVIEWS}" not in done.stderr
    assert "1 of 2 files are missing" in done.stderr


@pytest.mark.slow
def test_a_mirror_that_was_typed_may_be_private(
    mmec_pull: Any, server: Any, served: Any, labels: bytes, mugs: bytes
) -> None:
    server.routes[f"/mine/{LABELS}"], server.routes[f"/mine/{REVIEWS}"] = served(labels), served(mugs)
    without_networks = ("--set", "pull.space_margin=0", "--set", "pull.checksums=false")
    assert f"{len(mugs)}" in mmec_pull("--dry-run", "--json", networks=without_networks).stdout
    done = mmec_pull(networks=without_networks)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "esci"), "matches no file"),
        (("--recipe", "sample"), "needs no publisher's files"),
        (("--mirror", "nowhere"), "--mirror nowhere"),
        (("--set", "pull.conections=1"), "pull.conections"),
    ],
)
def test_bad_input_is_a_message(mmec_pull: Any, arguments: tuple[str, ...], said: str) -> None:
    done = mmec_pull(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
