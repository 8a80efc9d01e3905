from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from caslie_model.config.presets import finetune_config
from caslie_model.config.training import TRACKERS, FinetuneConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.training.finetune import finetune
from caslie_model.training.preflight import check_trackers, explained_memory_errors

REPOSITORY = Path(__file__).parents[3]


def config(dataset: Path, out: Path, *overrides: str) -> FinetuneConfig:
    settings = ("tasks=[sa]", "samples_per_task=8", "log_every=1", "device=cpu")
    return finetune_config("tiny", [*settings, *overrides], data=str(dataset), out=out)


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unknown_tracker_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no such tracker: paper; choose from: tensorboard, trackio"):
        finetune_config("tiny", ["report_to=[paper]"], data="d", out="o")


def test_one_tracker_needs_no_list_and_none_is_none() -> None:
    assert finetune_config("tiny", ["report_to=wandb"], data="d", out="o").report_to == ("wandb",)
    assert finetune_config("tiny", ["report_to=none"], data="d", out="o").report_to == ()


def test_the_trainer_knows_every_tracker() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert TRACKERS.keys() <= INTEGRATION_TO_CALLBACK.keys()


def test_a_missing_tracker_fails_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, package=None: None if name in TRACKERS else find(name, package),
    )
    with pytest.raises(ConfigError, match="comet_ml not installed; `pip install comet-ml`"):
        finetune(config(tmp_path / "no dataset", tmp_path / "out", "report_to=[comet_ml]"))
    assert not (tmp_path / "out").exists()
    check_trackers(())


def test_a_tracker_gets_the_losses(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = finetune(config(dataset, tmp_path / "out", "report_to=tensorboard")).folder
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_running_out_of_memory_names_the_remedy(error: Exception) -> None:
    asked = finetune_config("tiny", ["batch_size=6", "gradient_accumulation=2"], data="d", out="o")
    with (
        pytest.raises(
            RunError, match=r"batch_size=3 with gradient_accumulation=4 .*, or gradient_checkpointing=true"
        ),
        explained_memory_errors(asked),
    ):
        raise error


def test_advice_names_nothing_that_is_done_already() -> None:
    asked = finetune_config("tiny", ["batch_size=1", "gradient_checkpointing=true"], data="d", out="o")
    with (
        pytest.raises(
            RunError, match=r"^training ran out of memory; give a max_length below 4096, and start"
        ),
        explained_memory_errors(asked),
    ):
        raise MemoryError


def test_other_errors_are_raised_unchanged() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes"),
        explained_memory_errors(finetune_config("tiny", [], data="d", out="o")),
    ):
        raise RuntimeError("shapes do not fit")


@pytest.mark.slow
def test_running_out_of_memory_is_explained(
    row: Callable[..., dict[str, object]], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    """The process may take 300 MB more than it has when training begins; this batch needs more."""
    long = " ".join(["The lamp is bright."] * 100)
    rows = [row(i, "sentiment_analysis", "train", input=f'{{"review": "{long}"}}') for i in range(64)]
    data = write_rows(tmp_path / "data", rows)
    script = (
        "import resource, sys\n"
        "import transformers\n"
        "from pathlib import Path\n"
        "from caslie_model.config.presets import finetune_config\n"
        "from caslie_model.errors import RunError\n"
        "from caslie_model.training.finetune import finetune\n"
        "train = transformers.Trainer.train\n"
        "def with_little_memory(self, *arguments, **more):\n"
        "    taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (taken + 300_000_000,) * 2)\n"
        "    return train(self, *arguments, **more)\n"
        "transformers.Trainer.train = with_little_memory\n"
        "settings = ['tasks=[sa]', 'batch_size=64', 'device=cpu']\n"
        "try:\n"
        "    finetune(finetune_config('tiny', settings, data=sys.argv[1], out=Path(sys.argv[2])))\n"
        "except RunError as error:\n"
        "    print(error)\n"
    )
    done = run(script, str(data), str(tmp_path / "out"))
    assert "training ran out of memory; give batch_size=32 with gradient_accumulation=2" in done.stdout, (
        done.stderr
    )


@pytest.mark.slow
def test_compile_without_a_compiler_is_an_error(tmp_path: Path) -> None:
    script = (
        "from caslie_model.runtime.device import CPU\n"
        "from caslie_model.training.preflight import check_compiler\n"
        "from caslie_model.errors import ConfigError\n"
        "try:\n"
        "    check_compiler(CPU)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    nowhere = str(tmp_path)
    done = run(script, CXX="no-such-compiler", PATH=nowhere, TORCHINDUCTOR_CACHE_DIR=nowhere)
    assert "it needs a C++ compiler (g++ or clang++): install that, or give compile=false" in done.stdout, (
        done.stderr
    )
