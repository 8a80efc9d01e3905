"""Trainings whose loss, gradient or weights stop being finite numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.training.divergence import LAST_FINITE, check_step
from caslie_model.training.finetune import finetune
from caslie_model.training.run_folder import CHECKPOINTS
from tests.caslie_model.runtime.test_processes import start_two

SHORT = (
    "tasks=[ap]",
    "samples_per_task=24",
    "epochs=1",
    "batch_size=4",
    "log_every=1",
    "checkpoint_every=2",
    "device=cpu",
)
EXPLODES = ("lr=1e30", "max_grad_norm=1e30", "warmup=0")


def config(dataset: Path, out: Path, *overrides: str) -> FinetuneConfig:
    return finetune_config("tiny", [*SHORT, *overrides], data=str(dataset), out=out)


def spoil(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(tensor, torch.nan) for name, tensor in tensors.items()}


def test_a_training_whose_loss_is_no_number_stops(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"step 2: the loss is no finite number") as caught:
        finetune(config(dataset, tmp_path / "a", *EXPLODES))
    for remedy in ("than lr=1e+30", "warmup=0.05", "max_grad_norm=1", "--overwrite"):
        assert remedy in str(caught.value)
    assert not (tmp_path / "a" / "training.json").exists()
    assert not list((tmp_path / "a").glob("adapter_model*"))
    kept = load_file(tmp_path / "a" / CHECKPOINTS / LAST_FINITE)
    assert kept
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())


def test_a_rate_that_no_step_can_have_is_an_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lr=1e\+38 is more than 1e\+37"):
        finetune(config(dataset, tmp_path / "a", "lr=1e38"))
    assert not (tmp_path / "a").exists()


def test_an_image_model_stops_too(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_step(monkeypatch, 1)
    with pytest.raises(RunError, match=r"step 1: the gradient.*nothing was trained yet.*lr_connector=0.001"):
        finetune(config(shop, tmp_path / "a", "fusion=xattn", "tasks=[prp]"))
    assert not (tmp_path / "a" / "training.json").exists()


def test_the_last_finite_checkpoint_stays(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_step(monkeypatch, 5)
    with pytest.raises(RunError, match=r"step 5: the gradient is no finite number.*checkpoint-4"):
        finetune(config(dataset, tmp_path / "a"))
    checkpoint = tmp_path / "a" / CHECKPOINTS / "checkpoint-4"
    kept = load_file(checkpoint / "adapter_model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert "NaN" not in (checkpoint / "trainer_state.json").read_text()


def spoil_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the backward pass of a step give a gradient that is no number, while its loss stays finite."""
    import transformers

    train_step = transformers.Trainer.training_step

    def spoiled(self: Any, model: Any, *arguments: Any, **options: Any) -> Any:
        loss = train_step(self, model, *arguments, **options)
        if self.state.global_step + 1 == step:
            next(weight for weight in model.parameters() if weight.requires_grad).grad.fill_(torch.inf)
        return loss

    monkeypatch.setattr(transformers.Trainer, "training_step", spoiled)


def test_an_infinite_gradient_is_left_to_a_scaler() -> None:
    loss, infinite = torch.tensor(1.0), torch.tensor(torch.inf)
    check_step(3, [loss], None)
    with pytest.raises(RunError, match="step 3: the gradient is no finite number"):
        check_step(3, [loss], infinite)
    with pytest.raises(RunError, match="step 3: the loss is no finite number"):
        check_step(3, [loss, infinite], None)


def test_a_resumed_checkpoint_without_numbers_is_named(
    dataset: Path, tmp_path: Path, train_until_killed: Callable[[Any], None]
) -> None:
    train_until_killed(config(dataset, tmp_path / "a"))
    weights = tmp_path / "a" / CHECKPOINTS / "checkpoint-4" / "adapter_model.safetensors"
    save_file(spoil(load_file(weights)), weights, metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"step 5: the loss is no finite number.*checkpoint-4.*delete"):
        finetune(config(dataset, tmp_path / "a"), resume=True)
    assert not (tmp_path / "a" / "training.json").exists()
    weights.parent.rename(tmp_path / "spoiled")
    assert finetune(config(dataset, tmp_path / "a"), resume=True).summary["resumed_at_step"] == 2


def test_a_finished_run_whose_checkpoint_has_no_numbers_is_not_saved(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("caslie_model.training.run._finish", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(config(dataset, tmp_path / "a"))
    weights = tmp_path / "a" / CHECKPOINTS / "checkpoint-6" / "adapter_model.safetensors"
    save_file(spoil(load_file(weights)), weights, metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"step 6: the weights are no finite number.*checkpoint-6"):
        finetune(config(dataset, tmp_path / "a"), resume=True)
    assert not (tmp_path / "a" / "training.json").exists()


def test_a_validation_that_is_no_number_stops_the_training(contrary: Path, tmp_path: Path) -> None:
    from caslie_model.training.early_stopping import EarlyStop

    settings = ("tasks=[cc]", "samples_per_task=null", "early_stop.every=1")
    with pytest.MonkeyPatch.context() as patch:
        # The second validation of three.
        figures = iter([1.0, math.nan, 0.5])
        patch.setattr(EarlyStop, "measure", lambda *_: next(figures))
        with pytest.raises(RunError, match=r"step 2: the validation loss is no finite number"):
            finetune(config(contrary, tmp_path / "a", *settings))
    assert (tmp_path / "a" / CHECKPOINTS / "best-1.safetensors").is_file()
    assert not (tmp_path / "a" / "training.json").exists()


NAN_IN_THE_SECOND_PROCESS = """
import os, sys
import transformers

train_step = transformers.Trainer.training_step

def spoiled(self, *arguments, **options):
    loss = train_step(self, *arguments, **options)
    return loss * float("nan") if os.environ["RANK"] == "1" and self.state.global_step == 2 else loss

transformers.Trainer.training_step = spoiled
from caslie_model.cli.app import main
main()
"""


@pytest.mark.slow
def test_several_processes_stop_together(dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "spoiled.py"
    script.write_text(NAN_IN_THE_SECOND_PROCESS)
    overrides = [part for setting in SHORT for part in ("--set", setting)]
    done = start_two(
        *(str(script), "finetune", "--preset", "tiny", "--data", str(dataset)),
        *("--out", str(tmp_path / "a"), *overrides),
    )
    assert done.returncode == 1
    assert done.stderr.count("step 3: the loss is no finite number; the training was stopped") >= 1, (
        done.stderr
    )
    assert "caslie_model/training" not in done.stderr  # no traceback but torchrun's own
    assert (tmp_path / "a" / CHECKPOINTS / "checkpoint-2").is_dir()
    assert not (tmp_path / "a" / "training.json").exists()


def test_logs_and_run_state_are_json(dataset: Path, tmp_path: Path) -> None:
    def constant(name: str) -> None:
        raise AssertionError(name)

    out = finetune(config(dataset, tmp_path / "a")).folder
    json.loads((out / "training.json").read_text(), parse_constant=constant)
