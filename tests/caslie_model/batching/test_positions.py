"""Prompts beyond the positions that a model has: an error where positions are learnt, a warning where they rotate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.positions import check_positions
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.errors import ConfigError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.training.estimate import estimate
from caslie_model.training.finetune import finetune

REFUSED = r"max_length=1024 is more than the model's 256 positions; set max_length to 256 or less"
LEARNT: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "opt": {
        "max_position_embeddings": 256,
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
}
ROTARY: dict[str, Any] = {
    "max_position_embeddings": 256,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def write_model(folder: Path, kind: str, shapes: dict[str, Any]) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = load_base_model("random:tiny").tokenizer
    torch.manual_seed(0)
    ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **shapes, **ends)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(dataset: Path, model: Path, out: Path, scoring: str = "generate", **fields: Any) -> dict[str, Any]:
    config = evaluate_config(
        model=str(model),
        base_only=True,
        tasks=["ap"],
        limit=1,
        device="cpu",
        **{"data": str(dataset), "out": out, "scoring": scoring, **fields},
    )
    return evaluate(config).metrics


@pytest.mark.parametrize("kind", LEARNT)
def test_learnt_positions_are_never_exceeded(dataset: Path, tmp_path: Path, kind: str) -> None:
    model = write_model(tmp_path / "m", kind, LEARNT[kind])
    with pytest.raises(ConfigError, match=REFUSED):
        run(dataset, model, tmp_path / "e", "likelihood")
    with pytest.raises(ConfigError, match=r"with 8 more generated tokens .* set max_length to 248 or less"):
        run(dataset, model, tmp_path / "e")
    settings = ("tasks=[ap]", f"base_model={model}", "device=cpu", "samples_per_task=4", "epochs=1")
    for train in (finetune, estimate):
        with pytest.raises(ConfigError, match=REFUSED):
            train(
                finetune_config("tiny", [*settings, "max_length=1024"], data=str(dataset), out=tmp_path / "a")
            )
    assert not (tmp_path / "e").exists()
    assert not (tmp_path / "a").exists()


def test_a_prompt_may_fill_the_learnt_positions(dataset: Path, tmp_path: Path) -> None:
    shapes = {**LEARNT["gpt2"], "n_positions": 420}
    model = write_model(tmp_path / "m", "gpt2", shapes)
    assert run(dataset, model, tmp_path / "e", max_length=412)["results"]
    assert run(dataset, model, tmp_path / "f", "likelihood", max_length=420)["results"]


def test_short_samples_are_trained_whatever_max_length_allows(dataset: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", "gpt2", {**LEARNT["gpt2"], "n_positions": 600})
    settings = ("tasks=[ap]", f"base_model={model}", "device=cpu", "samples_per_task=4", "epochs=1")
    config = finetune_config("tiny", [*settings, "max_length=4096"], data=str(dataset), out=tmp_path / "a")
    assert estimate(config).samples == 4
    assert finetune(config).summary["samples"] == 4


def test_rotary_positions_are_exceeded_with_a_warning(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m", "llama", ROTARY)
    assert run(dataset, model, tmp_path / "e", "likelihood")["results"]
    said = capsys.readouterr().err
    assert "warning: max_length=1024 is more than the model's 256 positions" in said
    check_positions(load_base_model("random:tiny").model, 8192, 8192)
    assert "warning" not in capsys.readouterr().err
