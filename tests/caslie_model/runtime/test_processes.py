from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.config.files import adapter_weights
from caslie_model.config.presets import config_yaml, finetune_config
from caslie_model.errors import ConfigError, RunError
from caslie_model.runtime.console import say
from caslie_model.runtime.processes import end_process, first_decides, part_of_batch
from caslie_model.runtime.progress import Progress
from caslie_model.training.finetune import finetune

REPOSITORY = Path(__file__).parents[3]
KINDS = {
    "text": ("fusion=text",),
    "xattn with LoRA": ("fusion=xattn", "with_lora=true", "connector.gate_init=0.5"),
    "packed xattn": ("fusion=xattn", "packing=true", "connector.gate_init=0.5"),
}
SETTINGS = (
    "tasks=[prp]",
    "batch_size=4",
    "epochs=1",
    "log_every=1",
    "checkpoint_every=2",
    "device=cpu",
    "lora.dropout=0",
)


def start_two(*command: str) -> subprocess.CompletedProcess[str]:
    """Start Python twice, as torchrun does, with nothing but this machine's own address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
            *("--master-addr=127.0.0.1", f"--master-port={port}"),
            *command,
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def finetune_in_two(data: Path, out: Path, settings: tuple[str, ...], *options: str) -> None:
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = ("-m", "caslie_model", "finetune", "--preset", "tiny", "--data", str(data), "--out", str(out))
    done = start_two(*command, *overrides, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("on cpu, float32, 2 processes") == 1, done.stderr


def log(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return content


def test_a_batch_is_divided_equally_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert part_of_batch(7) == 7
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert part_of_batch(8) == 4
    with pytest.raises(
        ConfigError, match="batch_size=7 does not divide into 2 equal parts; give a multiple of 2"
    ):
        part_of_batch(7)


def test_one_process_decides_for_itself() -> None:
    def fail() -> None:
        raise RunError("no")

    assert first_decides(lambda: 3) == 3
    with pytest.raises(RunError, match="no"):
        first_decides(fail)


@pytest.mark.parametrize("number", ["0", "1"])
def test_the_first_process_talks_for_all(
    number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", number)
    monkeypatch.setattr("caslie_model.runtime.progress.SECONDS_BETWEEN_LINES", 0.0)
    say("on we go")
    with Progress("reading", 2, "samples") as progress:
        progress.update(1)
    said = capsys.readouterr().err
    assert said == ("" if number == "1" else "on we go\nreading: 1 of 2 samples, 0 s\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_like_one(
    kind: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*SETTINGS, *KINDS[kind])
    one = finetune(finetune_config("tiny", settings, data=str(shop), out=tmp_path / "one")).folder
    two = tmp_path / "two"
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
    finetune_in_two(shop, two, settings)
    shards = list((tmp_path / "cache" / "features").rglob("*.safetensors"))
    assert len(shards) == ("xattn" in kind)  # computed by one process alone
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert (log(one)["processes"], log(two)["processes"]) == (1, 2)
    assert log(two)["tokens"] == log(one)["tokens"]
    for value in ("loss", "grad_norm", "learning_rate"):
        straight, shared = ([entry[value] for entry in log(folder)["log"]] for folder in (one, two))
        assert len(straight) == 6
        assert shared == pytest.approx(straight, rel=1e-3), value
    weights, others = (load_file(adapter_weights(folder)) for folder in (one, two))
    assert weights.keys() == others.keys()
    for name in weights:
        torch.testing.assert_close(others[name], weights[name], atol=2e-3, rtol=2e-3)


@pytest.mark.slow
def test_two_killed_processes_go_on_bit_for_bit(shop: Path, tmp_path: Path) -> None:
    """With dropout: each process has random numbers of its own, which its checkpoint keeps."""
    settings = (*SETTINGS, "lora.dropout=0.2", "gradient_accumulation=2", "batch_size=2")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finetune_in_two(shop, whole, settings)
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, signal, sys\n"
        "import transformers\n"
        "from pathlib import Path\n"
        "from caslie_model.config.presets import load_finetune_config\n"
        "from caslie_model.training.finetune import finetune\n"
        "save = transformers.Trainer._save_checkpoint\n"
        "def die_after_the_second(self, *arguments):\n"
        "    save(self, *arguments)\n"
        "    if self.state.global_step == 4 and os.environ['RANK'] == '0':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "transformers.Trainer._save_checkpoint = die_after_the_second\n"
        "finetune(load_finetune_config(Path(sys.argv[1])))\n"
    )
    config = finetune_config("tiny", settings, data=str(shop), out=broken)
    (tmp_path / "config.yaml").write_text(config_yaml(config))
    killed = start_two(str(script), str(tmp_path / "config.yaml"))
    assert killed.returncode != 0
    assert f"exitcode  : {-signal.SIGKILL}" in killed.stderr
    finetune_in_two(shop, broken, settings, "--resume")
    assert log(broken)["resumed_at_step"] == 4
    assert [e["loss"] for e in log(broken)["log"]] == [e["loss"] for e in log(whole)["log"]]
    weights, again = (load_file(adapter_weights(folder)) for folder in (whole, broken))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.slow
def test_two_processes_stop_where_one_does(contrary: Path, tmp_path: Path) -> None:
    settings = (
        *("tasks=[cc]", "answers=letter", "batch_size=4", "epochs=8", "log_every=1", "device=cpu"),
        *("fusion=xattn", "lr_connector=0.02", "connector.gate_init=1"),
        *("early_stop.every=1", "early_stop.patience=2"),
    )
    one = finetune(finetune_config("tiny", settings, data=str(contrary), out=tmp_path / "one")).folder
    two = tmp_path / "two"
    finetune_in_two(contrary, two, settings)
    single, double = log(one), log(two)
    assert single["ended_by"] == double["ended_by"] == "early_stop"
    assert double["steps"] == single["steps"]
    assert double["early_stop"]["best_step"] == single["early_stop"]["best_step"]
    losses, others = ([e["loss"] for e in run["early_stop"]["evaluations"]] for run in (single, double))
    assert others == pytest.approx(losses, rel=1e-3)
    weights, again = (load_file(adapter_weights(folder)) for folder in (one, two))
    for name in weights:  # a step moves a weight by up to 0.02: Adam makes of rounding a part of that
        torch.testing.assert_close(again[name], weights[name], atol=1e-2, rtol=2e-3)


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    command = ("-m", "caslie_model", "finetune", "--preset", "tiny", "--data", str(shop))
    done = start_two(*command, "--out", str(tmp_path))
    assert done.returncode != 0
    assert "is not empty and not of caslie_model" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_a_process_beside_others_ends_before_the_interpreter_does(tmp_path: Path) -> None:
    """What the interpreter's own end would call is never called: gloo's threads could abort the process there."""
    script = tmp_path / "ends.py"
    script.write_text(
        "import atexit, os\n"
        "from caslie_model.runtime.processes import end_process, join_processes\n"
        "class AbortsAtTheEnd:\n"
        "    def __del__(self, abort=os.abort):\n"
        "        abort()\n"
        "kept = AbortsAtTheEnd()\n"
        "join_processes('cpu')\n"
        "atexit.register(print, 'left in good order')\n"
        "end_process(0)\n"
    )
    done = start_two(str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left in good order") == 2


def test_a_process_alone_ends_as_any_other() -> None:
    with pytest.raises(SystemExit) as end:
        end_process(3)
    assert end.value.code == 3
