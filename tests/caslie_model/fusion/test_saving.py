"""Saved and loaded: whole as transformers does, the adapter alone, and a Trainer's checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from caslie_model.errors import ModelError
from caslie_model.fusion import CaslieConfig, CaslieForCausalLM, load_adapter

LORA = {"rank": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
FUSIONS = ("xattn", "concat", "concat-full")


def trained(make: SimpleNamespace, fusion: str, **choices: Any) -> CaslieForCausalLM:
    """Return a model none of whose own tensors is as it was initialised."""
    model = make.model(fusion, **choices)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in model.trained_state_dict().values():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return model


def logits(model: CaslieForCausalLM, make: SimpleNamespace) -> torch.Tensor:
    with torch.inference_mode():
        return model(**make.batch(model, [make.question(1), make.question(2, images=1)])).logits


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("lora", "tied"), [(None, False), (LORA, True)])
def test_a_model_saved_whole_is_itself_again(
    make: SimpleNamespace, tmp_path: Path, fusion: str, lora: dict[str, Any] | None, tied: bool
) -> None:
    base = make.language_model(tie_word_embeddings=tied)
    model = trained(make, fusion, base=base, lora=lora)
    model.save_pretrained(tmp_path)
    for loader in (CaslieForCausalLM, AutoModelForCausalLM):
        again, report = loader.from_pretrained(tmp_path, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert type(again) is CaslieForCausalLM
        assert torch.equal(logits(again.eval(), make), logits(model, make))
        ours, theirs = again.config.to_dict(), model.config.to_dict()
        of_this_machine = {"_name_or_path", "dtype", "text_config"}
        assert {n: ours[n] for n in ours if n not in of_this_machine} == {
            n: theirs[n] for n in theirs if n not in of_this_machine
        }
        frozen = {n for n, p in again.named_parameters() if not p.requires_grad}
        assert frozen == {n for n, p in model.named_parameters() if not p.requires_grad}
        assert again.generation_config.eos_token_id == model.generation_config.eos_token_id
    assert type(AutoConfig.from_pretrained(tmp_path)) is CaslieConfig


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_an_adapter_alone_makes_a_fresh_base_model_the_same(
    make: SimpleNamespace, tmp_path: Path, family: str
) -> None:
    model = trained(make, "xattn", family=family)
    model.save_adapter(tmp_path)
    again = load_adapter(make.language_model(family), tmp_path)
    assert torch.equal(logits(again, make), logits(model, make))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("lora", [None, LORA])
def test_an_adapter_holds_exactly_the_trained_weights(
    make: SimpleNamespace, tmp_path: Path, fusion: str, lora: dict[str, Any] | None
) -> None:
    model = trained(make, fusion, lora=lora)
    model.save_adapter(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "caslie_adapter.safetensors",
        "caslie_config.json",
    ]
    weights = load_file(tmp_path / "caslie_adapter.safetensors")
    assert set(weights) == {name for name, weight in model.named_parameters() if weight.requires_grad}
    again = load_adapter(make.language_model(), tmp_path)
    assert torch.equal(logits(again, make), logits(model, make))
    assert not any(weight.requires_grad for weight in again.parameters())
    again = load_adapter(make.language_model(), tmp_path, trainable=True)
    assert {name for name, weight in again.named_parameters() if weight.requires_grad} == set(weights)


def test_feature_statistics_travel_with_the_adapter(make: SimpleNamespace, tmp_path: Path) -> None:
    model = trained(make, "xattn", feature_norm="standard")
    before = logits(model, make)
    model.set_feature_statistics(torch.full((12,), 0.5), torch.tensor([0.0, *[2.0] * 11]))
    after = logits(model, make)
    assert not torch.allclose(before, after, atol=1e-3)
    model.save_adapter(tmp_path)
    assert torch.equal(logits(load_adapter(make.language_model(), tmp_path), make), after)
    with pytest.raises(ModelError, match="for feature_norm=standard and 12 channels"):
        model.set_feature_statistics(torch.zeros(3), torch.ones(3))


def test_merged_lora_answers_the_same(make: SimpleNamespace, tmp_path: Path) -> None:
    model = trained(make, "xattn", lora=LORA)
    expected = logits(model, make)
    model.merge_lora()
    torch.testing.assert_close(logits(model, make), expected, atol=1e-5, rtol=1e-4)
    names = [name for name, _ in make.language_model().named_modules()]
    assert [name for name, _ in model.language_model.named_modules()] == names
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(CaslieForCausalLM.from_pretrained(tmp_path), make), logits(model, make))


def test_a_checkpoint_without_the_base_model_resumes(make: SimpleNamespace, tmp_path: Path) -> None:
    base = make.language_model(tie_word_embeddings=True)
    model = trained(make, "xattn", base=base, lora=LORA)
    model.leave_base_out_of_checkpoints()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert set(weights) == set(model.trained_state_dict())
    fresh = make.model("xattn", base=base, lora=LORA)
    result = fresh.load_state_dict(weights, strict=False)
    # The Trainer is content, without a warning, when just these are missing.
    assert set(result.missing_keys) == set(model._keys_to_ignore_on_save)
    assert torch.equal(logits(fresh, make), logits(model, make))
    model.leave_base_out_of_checkpoints(False)
    model.save_pretrained(tmp_path)
    assert len(load_file(tmp_path / "model.safetensors")) > len(weights)


def test_an_adapter_on_another_base_model_is_an_error(make: SimpleNamespace, tmp_path: Path) -> None:
    made_with = {
        "base_model": "user/lm",
        "base_fingerprint": "abc",
        "vision_encoder": "vit",
        "vision_fingerprint": "def",
    }
    trained(make, "xattn", **made_with).save_adapter(tmp_path)
    with pytest.raises(ModelError, match=r"with model_type=llama, but this one has mistral; give user/lm"):
        load_adapter(make.language_model("mistral"), tmp_path)
    larger = make.language_model()
    larger.config.hidden_size = 48
    with pytest.raises(ModelError, match="with hidden_size=32, but this one has 48"):
        load_adapter(larger, tmp_path)
    same = {"base_fingerprint": "abc", "vision_fingerprint": "def"}
    load_adapter(make.language_model(), tmp_path, **same)
    with pytest.raises(ModelError, match="made with another base model: user/lm of fingerprint abc, not xyz"):
        load_adapter(make.language_model(), tmp_path, **{**same, "base_fingerprint": "xyz"})
    with pytest.raises(ModelError, match="made with another vision encoder: vit of fingerprint def, not xyz"):
        load_adapter(make.language_model(), tmp_path, **{**same, "vision_fingerprint": "xyz"})


def test_a_damaged_or_foreign_adapter_folder_is_named(make: SimpleNamespace, tmp_path: Path) -> None:
    base = make.language_model()
    with pytest.raises(ModelError, match="no adapter of a fusion model"):
        load_adapter(base, tmp_path)
    config, weights = tmp_path / "caslie_config.json", tmp_path / "caslie_adapter.safetensors"
    config.write_text('{"peft_type": "LORA"}')
    with pytest.raises(ModelError, match="an adapter of another kind"):
        load_adapter(base, tmp_path)
    trained(make, "xattn").save_adapter(tmp_path)
    content, tensors = json.loads(config.read_text()), load_file(weights)
    config.write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(ModelError, match="adapter format 9"):
        load_adapter(base, tmp_path)
    config.write_text(json.dumps({**content, "config": {**content["config"], "fusion": "magic"}}))
    with pytest.raises(ModelError, match=r"caslie_config.json is not valid: fusion 'magic' is not there"):
        load_adapter(base, tmp_path)
    config.write_text(json.dumps(content))
    first = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != first}, weights)
    with pytest.raises(ModelError, match=f"do not fit its config \\(1 tensors, first {first}"):
        load_adapter(base, tmp_path)
    weights.write_bytes(b"torn")
    with pytest.raises(ModelError, match="its weights cannot be read"):
        load_adapter(base, tmp_path)
