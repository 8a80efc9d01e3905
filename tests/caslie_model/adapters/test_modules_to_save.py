"""lora.modules_to_save: embeddings and head, tied or not, trained whole, saved, loaded, merged and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.adapters.merge import merge
from caslie_model.adapters.trainable import trainable_model
from caslie_model.adapters.trained import load_to_answer, load_trained
from caslie_model.backbones.language_model import load_base_model
from caslie_model.backbones.tied_weights import has_tied_head
from caslie_model.config.files import adapter_weights
from caslie_model.errors import ModelError
from caslie_model.training.finetune import finetune
from tests.caslie_model.adapters.conftest import Settings

BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
NAMES = pytest.mark.parametrize("names", ["embed_tokens", "lm_head", "embed_tokens, lm_head"])


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that trainings end with, before they are saved."""
    models = []

    def keep(model: Any, *rest: Any) -> None:
        models.append(model)
        save(model, *rest)

    from caslie_model.training import run

    save = run.save_trained
    monkeypatch.setattr(run, "save_trained", keep)
    return models


@BOTH
@NAMES
def test_a_text_adapter_is_the_model_that_was_trained(
    dataset: Path,
    tied_base: Path,
    untied_base: Path,
    tmp_path: Path,
    config: Settings,
    logits: Callable[[Any], Any],
    kept: list[Any],
    tied: bool,
    names: str,
) -> None:
    from peft import AutoPeftModelForCausalLM

    base = tied_base if tied else untied_base
    folder = finetune(
        config(dataset, tmp_path / "a", f"base_model={base}", f"lora.modules_to_save=[{names}]")
    ).folder
    trained = logits(kept[0].eval())
    assert torch.equal(logits(load_trained(load_base_model(str(base)), "text", folder)), trained)
    auto = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    assert torch.equal(logits(auto), trained)
    assert has_tied_head(auto) == tied
    merged = logits(load_to_answer(load_base_model(str(base)), "text", folder))
    torch.testing.assert_close(merged, trained, atol=1e-3, rtol=1e-3)
    assert merge(folder, tmp_path / "whole").deviation < 1e-3
    whole = load_base_model(str(tmp_path / "whole")).model
    torch.testing.assert_close(logits(whole), trained, atol=1e-3, rtol=1e-3)
    assert has_tied_head(whole) == tied
    before = load_base_model(str(base)).model
    for name in names.split(", "):
        path = {"embed_tokens": "model.embed_tokens", "lm_head": "lm_head"}[name]
        learnt, was = (each.get_submodule(path).weight for each in (whole, before))
        assert not torch.allclose(learnt, was, atol=1e-3)


@BOTH
@NAMES
def test_a_fusion_adapter_is_the_model_that_was_trained(
    image_dataset: Path,
    tied_base: Path,
    untied_base: Path,
    tmp_path: Path,
    image_config: Settings,
    logits: Callable[[Any], Any],
    kept: list[Any],
    tied: bool,
    names: str,
) -> None:
    base = tied_base if tied else untied_base
    asked = image_config(
        image_dataset, tmp_path / "a", f"base_model={base}", f"lora.modules_to_save=[{names}]"
    )
    folder = finetune(asked).folder
    trained = logits(kept[0].eval())
    learnt = [name for name, weight in kept[0].named_parameters() if weight.requires_grad]
    weights = load_file(folder / "caslie_adapter.safetensors")
    assert weights.keys() == set(learnt)
    whole = {name for name in weights if name.endswith(("embed_tokens.weight", "lm_head.weight"))}
    expected = {"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"}
    if tied:
        expected = {"language_model.model.embed_tokens.weight"}
    elif "," not in names:
        expected = {name for name in expected if names in name}
    assert whole == expected
    assert torch.equal(logits(load_trained(load_base_model(str(base)), "xattn", folder)), trained)
    merged = logits(load_to_answer(load_base_model(str(base)), "xattn", folder))
    torch.testing.assert_close(merged, trained, atol=1e-3, rtol=1e-3)
    assert merge(folder, tmp_path / "whole").deviation < 1e-3
    again = load_base_model(str(tmp_path / "whole")).model
    torch.testing.assert_close(logits(again), trained, atol=1e-3, rtol=1e-3)
    assert has_tied_head(again.language_model) == tied


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("kind", ["text", "xattn"])
def test_a_killed_run_goes_on_bit_by_bit(
    dataset: Path,
    image_dataset: Path,
    tied_base: Path,
    untied_base: Path,
    tmp_path: Path,
    config: Settings,
    image_config: Settings,
    train_until_killed: Callable[[Any], None],
    kind: str,
    tied: bool,
) -> None:
    make, data = (config, dataset) if kind == "text" else (image_config, image_dataset)
    asked = [
        f"base_model={tied_base if tied else untied_base}",
        "lora.modules_to_save=[embed_tokens]",
        "batch_size=2",
        "checkpoint_every=2",
    ]
    whole = finetune(make(data, tmp_path / "whole", *asked)).folder
    broken = make(data, tmp_path / "broken", *asked)
    train_until_killed(broken)
    assert finetune(broken, resume=True).summary["resumed_at_step"] == 4
    first, second = (load_file(adapter_weights(folder)) for folder in (whole, broken.out))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", ["text", "xattn"])
def test_a_module_that_is_not_there_is_named(
    dataset: Path, image_dataset: Path, tmp_path: Path, config: Settings, image_config: Settings, kind: str
) -> None:
    make, data = (config, dataset) if kind == "text" else (image_config, image_dataset)
    asked = make(data, tmp_path / "a", "lora.modules_to_save=[wte]")
    message = "has no module wte; its embeddings and head are model.embed_tokens, lm_head"
    with pytest.raises(ModelError, match=message):
        finetune(asked)
    assert not asked.out.exists()


def test_a_wrong_target_of_a_text_adapter_is_named(dataset: Path, tmp_path: Path, config: Settings) -> None:
    asked = config(dataset, tmp_path / "a", "lora.target_modules=[nothing]")
    with pytest.raises(ModelError, match=r"LoRA does not fit on LlamaForCausalLM: .*nothing"):
        finetune(asked)
    assert not asked.out.exists()


def test_modules_of_a_16_bit_base_are_trained_in_32(
    dataset: Path, tied_base: Path, tmp_path: Path, config: Settings
) -> None:
    from caslie_model.runtime.device import Device

    base = load_base_model(str(tied_base), Device("cpu", "bfloat16"))
    asked = config(dataset, tmp_path / "a", "lora.modules_to_save=[embed_tokens]")
    model = trainable_model(base, asked, None)
    trained = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
    assert any("embed_tokens" in name for name in trained)
    assert set(trained.values()) == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "xattn"])
def test_modules_are_trained_and_answered_with_in_bfloat16(
    dataset: Path,
    image_dataset: Path,
    tied_base: Path,
    tmp_path: Path,
    config: Settings,
    image_config: Settings,
    kind: str,
) -> None:
    from caslie_model.config.presets import evaluate_config
    from caslie_model.evaluation.evaluate import evaluate

    make, data, task = (config, dataset, "sa") if kind == "text" else (image_config, image_dataset, "cc")
    folder = finetune(
        make(
            data,
            tmp_path / "a",
            f"base_model={tied_base}",
            "lora.modules_to_save=[embed_tokens]",
            "precision=bfloat16",
        )
    ).folder
    for precision in ("float32", "bfloat16"):
        asked = {"model": str(folder), "data": str(data), "tasks": [task], "splits": ("test",), "limit": 4}
        result = evaluate(
            evaluate_config(out=tmp_path / precision, device="cpu", precision=precision, **asked)
        )
        assert result.metrics["results"][0]["samples"] == 4


def test_an_early_stop_restores_modules_that_are_trained_whole(
    contrary: Path, tied_base: Path, tmp_path: Path, config: Settings, kept: list[Any]
) -> None:
    asked = config(
        contrary,
        tmp_path / "a",
        "tasks=[cc]",
        f"base_model={tied_base}",
        "lora.modules_to_save=[lm_head]",
        "early_stop={every: 2, patience: 2}",
        "epochs=4",
    )
    summary = finetune(asked).summary
    assert summary["early_stop"]["best_step"] < summary["steps"]
    saved = load_file(asked.out / "adapter_model.safetensors")
    whole = [name for name in saved if "embed_tokens" in name]
    assert whole
    assert all(torch.equal(saved[name], kept[0].get_input_embeddings().weight.detach()) for name in whole)
    assert json.loads((asked.out / "adapter_config.json").read_text())["ensure_weight_tying"] is True
