"""Options that cost or save time and memory, and do not change the trained weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.config.files import adapter_weights
from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ConfigError
from caslie_model.runtime.device import CPU
from caslie_model.training.finetune import finetune
from caslie_model.training.preflight import check_compiler
from caslie_model.training.run import TrainingResult


def config(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    settings = (
        "tasks=[prp]",
        "batch_size=4",
        "log_every=1",
        "device=cpu",
        "lora.dropout=0",
        "connector.gate_init=0.5",  # open from the start, so that images count in the first step
    )
    return finetune_config("tiny", [*settings, *overrides], data=str(data), out=out)


def assert_same_training(one: TrainingResult, other: TrainingResult, tolerance: float = 1e-4) -> None:
    losses, others = (
        [entry["loss"] for entry in json.loads((each.folder / "training.json").read_text())["log"]]
        for each in (one, other)
    )
    assert len(losses) > 1
    assert losses == pytest.approx(others, rel=tolerance)
    weights, again = (load_file(adapter_weights(each.folder)) for each in (one, other))
    assert weights.keys() == again.keys()
    for name in weights:
        torch.testing.assert_close(again[name], weights[name], atol=20 * tolerance, rtol=20 * tolerance)


def test_checkpointed_gradients_are_the_same(kind: tuple[str, ...], shop: Path, tmp_path: Path) -> None:
    straight = finetune(config(shop, tmp_path / "a", *kind))
    again = finetune(config(shop, tmp_path / "b", *kind, "gradient_checkpointing=true"))
    assert_same_training(straight, again)


def test_checkpointing_computes_layers_twice(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    calls = []
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, *a: calls.append(1) or forward(self, *a))
    finetune(config(shop, tmp_path / "a"))
    once = len(calls)
    finetune(config(shop, tmp_path / "b", "gradient_checkpointing=true"))
    assert len(calls) - once == 2 * once


@pytest.mark.slow
@pytest.mark.parametrize("settings", [("fusion=text",), ("fusion=xattn", "with_lora=true")])
def test_a_compiled_model_learns_the_same(settings: tuple[str, ...], shop: Path, tmp_path: Path) -> None:
    """Two steps of different lengths: compiling takes minutes on a slow machine."""
    try:
        check_compiler(CPU)
    except ConfigError as error:
        pytest.skip(str(error))
    settings = (*settings, "samples_per_task=8")
    straight = finetune(config(shop, tmp_path / "a", *settings))
    again = finetune(config(shop, tmp_path / "b", *settings, "compile=true"))
    assert_same_training(straight, again)
