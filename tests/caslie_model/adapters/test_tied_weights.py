"""LoRA on a layer whose weights another layer shares: not trained, never merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.merge import merge
from caslie_model.adapters.trained import load_to_answer, load_trained
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.presets import evaluate_config
from caslie_model.errors import ModelError
from caslie_model.training.finetune import finetune
from tests.caslie_model.adapters.conftest import Settings

TARGETS = ["lm_head", "q_proj, lm_head", "embed_tokens"]


def write_plain_adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """Write an adapter with peft alone, none of whose tensors is as it was initialised."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(
        load_base_model(str(base)).model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **settings)
    )
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", TARGETS)
def test_a_tied_target_fails_before_a_run_is_written(
    dataset: Path, tied_base: Path, tmp_path: Path, config: Settings, targets: str
) -> None:
    asked = config(dataset, tmp_path / "o", f"base_model={tied_base}", f"lora.target_modules=[{targets}]")
    with pytest.raises(
        ModelError, match=r"lora.target_modules reaches .*weights are tied to those of .*leave"
    ):
        finetune(asked)
    assert not asked.out.exists()


def test_a_tied_target_of_a_fusion_model_fails_too(
    image_dataset: Path, tied_base: Path, tmp_path: Path, image_config: Settings
) -> None:
    asked = image_config(
        image_dataset, tmp_path / "o", f"base_model={tied_base}", "lora.target_modules=[lm_head]"
    )
    with pytest.raises(
        ModelError, match=r"reaches lm_head, whose weights are tied to those of model.embed_tokens"
    ):
        finetune(asked)
    assert not asked.out.exists()


def test_all_linear_leaves_a_tied_head_out(
    dataset: Path, tied_base: Path, tmp_path: Path, config: Settings
) -> None:
    folder = finetune(config(dataset, tmp_path / "o", f"base_model={tied_base}")).folder
    assert not any("lm_head" in name for name in load_file(folder / "adapter_model.safetensors"))
    assert merge(folder, tmp_path / "whole").deviation < 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", [["lm_head"], ["q_proj", "lm_head"], ["embed_tokens"]])
@pytest.mark.parametrize("tying", [False, True])
def test_a_tied_adapter_is_answered_with_unmerged(
    tied_base: Path,
    tmp_path: Path,
    logits: Any,
    capsys: pytest.CaptureFixture[str],
    targets: list[str],
    tying: bool,
) -> None:
    """With ensure_weight_tying peft would add both layers' LoRA to the one matrix."""
    adapter = write_plain_adapter(
        tied_base, tmp_path / "a", target_modules=targets, ensure_weight_tying=tying
    )
    expected = logits(load_trained(load_base_model(str(tied_base)), "text", adapter))
    found = logits(load_to_answer(load_base_model(str(tied_base)), "text", adapter))
    assert torch.equal(found, expected)
    assert "LoRA stays beside the weights, which is exact but slower: LoRA is on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "up_proj"], "use_dora": True},
        {"target_modules": "all-linear", "use_rslora": True},
        {"target_modules": ["q_proj"], "lora_bias": False, "modules_to_save": ["norm"]},
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.up_proj.weight"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [3, 5]},
        {"target_modules": ["lm_head", "embed_tokens"]},
    ],
    ids=["dora", "rslora", "modules_to_save", "target_parameters", "tokens", "untied ends"],
)
def test_what_peft_makes_elsewhere_answers_as_unmerged(
    untied_base: Path, tmp_path: Path, logits: Any, settings: dict[str, Any]
) -> None:
    adapter = write_plain_adapter(untied_base, tmp_path / "a", **settings)
    expected = logits(load_trained(load_base_model(str(untied_base)), "text", adapter))
    found = logits(load_to_answer(load_base_model(str(untied_base)), "text", adapter))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(found, logits(load_base_model(str(untied_base)).model), atol=1e-2)


def test_a_merge_that_would_change_answers_is_undone(
    untied_base: Path, tmp_path: Path, logits: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = write_plain_adapter(untied_base, tmp_path / "a", target_modules=["q_proj", "v_proj"])
    file = adapter / "adapter_model.safetensors"
    from safetensors.torch import save_file

    save_file({name: tensor * 3e3 for name, tensor in load_file(file).items()}, file)
    expected = logits(load_trained(load_base_model(str(untied_base)), "text", adapter))
    found = logits(load_to_answer(load_base_model(str(untied_base)), "text", adapter))
    assert torch.equal(found, expected)
    assert "merged, its logits would differ by" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_plain_peft_is_evaluated_and_says_what_is_not_checked(
    tied_base: Path, dataset: Path, tmp_path: Path, logits: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = write_plain_adapter(tied_base, tmp_path / "a", target_modules=["q_proj", "lm_head"])
    asked = evaluate_config(
        model=str(adapter), base=str(tied_base), data=str(dataset), out=tmp_path / "e", device="cpu"
    )
    loaded = load_for_evaluation(asked)
    expected = load_trained(load_base_model(str(tied_base)), "text", adapter)
    assert torch.equal(logits(loaded.model), logits(expected))
    said = capsys.readouterr().err
    assert f"does not record the fingerprint of its base model, so {tied_base} is not checked" in said
    with pytest.raises(ModelError, match="is not a finished adapter folder"):
        merge(adapter, tmp_path / "whole")
