"""Training on kept states of the layers below the first adapter: the same as without, and less work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.config import FinetuneConfig, finetune_config
from caslie_model.errors import ConfigError, ModelError
from caslie_model.finetuning import finetune
from caslie_model.lower_states import open_lower_states
from caslie_model.training import TrainingResult


def config(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    settings = (
        "fusion=xattn",
        "tasks=[prp]",
        "batch_size=4",
        "epochs=2",
        "log_every=1",
        "checkpoint_every=2",
        "device=cpu",
        "bridge.gate_init=0.5",
    )
    return finetune_config("tiny", [*settings, *overrides], data=str(data), out=out)


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store for each test: nothing is kept yet."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(cache))
    return cache / "lower_layers"


def weights(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(result.folder / "adapter_model.safetensors")


def losses(result: TrainingResult) -> list[float]:
    return [entry["loss"] for entry in json.loads((result.folder / "training.json").read_text())["log"]]


def assert_equal(one: TrainingResult, other: TrainingResult) -> None:
    assert losses(one) == losses(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("option", ["packing=false", "packing=true", "gradient_checkpointing=true"])
def test_a_training_learns_what_it_learns_without(
    shop: Path, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    straight = finetune(config(shop, tmp_path / "straight", option))
    ran: list[int] = []
    forward = LlamaMLP.forward

    def counted(self: Any, states: torch.Tensor) -> torch.Tensor:
        # Before the training a model is tried with 8 tokens, its states are measured with 4 rows of 64, and its shapes
        # alone foretell what the run takes.
        if states.shape[1] > 8 and states.shape[:2] != (4, 64) and type(states) is torch.Tensor:
            ran.append(1)
        return forward(self, states)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    kept = finetune(config(shop, tmp_path / "kept", option, "reuse_lower_layers=true"))
    assert losses(kept) == pytest.approx(losses(straight), rel=1e-4)
    for name, weight in weights(straight).items():
        torch.testing.assert_close(weights(kept)[name], weight, atol=2e-3, rtol=2e-3)
    assert kept.summary["lower_layers"] == {"computed": 24, "reused": 24}
    # Of two layers the lower one ran once for each sample, the upper one in each of 12 steps.
    assert len(ran) == 24 + 12 * (2 if option.startswith("gradient") else 1)
    # A second run computes none of them, and learns the same to the bit.
    again = finetune(config(shop, tmp_path / "again", option, "reuse_lower_layers=true"))
    assert again.summary["lower_layers"] == {"computed": 0, "reused": 48}
    assert_equal(again, kept)


def test_a_full_store_changes_nothing_but_the_work(
    shop: Path, tmp_path: Path, own_store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    import caslie_model.state_store

    kept = finetune(config(shop, tmp_path / "kept", "reuse_lower_layers=true"))
    size = sum(path.stat().st_size for path in own_store.rglob("*.safetensors"))
    shutil.rmtree(own_store)
    monkeypatch.setattr(caslie_model.state_store.StateStore.__init__, "__defaults__", (size // 10,))
    settings = ("reuse_lower_layers=true", f"lower_layers_gigabytes={size / 2 / 1e9}")
    full = finetune(config(shop, tmp_path / "full", *settings))
    assert "computed anew each time" in capsys.readouterr().err
    assert 24 < full.summary["lower_layers"]["computed"] < 48
    assert sum(path.stat().st_size for path in own_store.rglob("*.safetensors")) < size * 0.6
    assert_equal(full, kept)


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly(
    shop: Path, tmp_path: Path, own_store: Path, train_until_killed: Callable[[FinetuneConfig], None]
) -> None:
    straight = finetune(config(shop, tmp_path / "straight", "reuse_lower_layers=true"))
    shutil.rmtree(own_store)
    begun = config(shop, tmp_path / "killed", "reuse_lower_layers=true")
    train_until_killed(begun)
    resumed = finetune(begun, resume=True)
    assert resumed.summary["resumed_at_step"] == 4
    assert_equal(resumed, straight)


def test_what_gives_other_states_has_a_store_of_its_own(own_store: Path) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig

    from caslie_model.fusion import CaslieForCausalLM

    def folder(precision: str = "float32", **choices: Any) -> Path:
        shapes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 64}
        base = AutoModelForCausalLM.from_config(LlamaConfig(num_hidden_layers=3, **shapes))
        settings = {
            "vision_width": 12,
            "vision_patches": 5,
            "first_layer": 1,
            "base_identity": "a",
            **choices,
        }
        model = CaslieForCausalLM.from_base(base, fusion="xattn", **settings)
        return open_lower_states(model, precision, 1)._store.folder

    others = [
        folder("bfloat16"),
        folder(first_layer=2),
        folder(base_identity="b"),
        folder(base_quantise="8bit"),
    ]
    assert len({folder(), *others}) == 5
    assert folder() == folder(latents=4)


def test_runs_in_other_precisions_share_no_states(shop: Path, tmp_path: Path, own_store: Path) -> None:
    for number, override in enumerate(("precision=float32", "precision=bfloat16")):
        result = finetune(
            config(shop, tmp_path / str(number), "reuse_lower_layers=true", "samples_per_task=8", override)
        )
        assert result.summary["lower_layers"] == {"computed": 8, "reused": 8}
        assert len(list(own_store.iterdir())) == number + 1


def test_it_is_refused_where_states_change(shop: Path, tmp_path: Path) -> None:
    for overrides, told in (
        (("with_lora=true",), "LoRA in all layers changes"),
        (("fusion=concat",), "fusion=concat has no layers below"),
        (("fusion=text",), "fusion=text has no layers below"),
        (("bridge.first_layer=0",), r"fusion=xattn with bridge\.first_layer=0 has no layers below"),
        (("compile=true",), "compiled layers cannot be left out"),
    ):
        with pytest.raises(ConfigError, match=told):
            config(shop, tmp_path / "a", "reuse_lower_layers=true", *overrides)
    low = ("reuse_lower_layers=true", "with_lora=true", "lora.target_modules=[q_proj]")
    with pytest.raises(ModelError, match="is below the first adapter"):
        finetune(config(shop, tmp_path / "a", *low))
    assert not (tmp_path / "a").exists()
    high = ("reuse_lower_layers=true", "with_lora=true", "lora.target_modules=['1.self_attn.q_proj']")
    result = finetune(config(shop, tmp_path / "b", *high))
    assert result.summary["lower_layers"] == {"computed": 24, "reused": 24}
