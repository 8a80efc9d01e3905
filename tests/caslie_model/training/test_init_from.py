"""init_from: an alignment, or any other fusion adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ConfigError, ModelError
from caslie_model.evaluation.evaluate import evaluate
from caslie_model.training.finetune import finetune
from caslie_model.training.init_from import with_shapes_of_init_from
from caslie_model.vision.encoder import VisionEncoder

SHORT = (
    "tasks=[cc, prp, sr]",
    "samples_per_task=4",
    "batch_size=4",
    "log_every=1",
    "device=cpu",
    "connector.gate_init=1",
)
Train = Callable[..., Path]


def config(data: Path, out: Path, fusion: str, *overrides: str, lora: bool = False) -> FinetuneConfig:
    return finetune_config(
        "tiny", [*SHORT, *overrides], data=str(data), out=out, fusion=fusion, with_lora=lora
    )


@pytest.fixture(scope="module")
def train(image_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return the adapter folder of a route, trained when it is first asked for."""
    done: dict[tuple[str, bool], Path] = {}

    def trained(fusion: str, lora: bool = False) -> Path:
        if (fusion, lora) not in done:
            out = tmp_path_factory.mktemp("first") / "adapter"
            done[fusion, lora] = finetune(config(image_dataset, out, fusion, lora=lora)).folder
        return done[fusion, lora]

    return trained


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_a_training_goes_on_with_those_weights(
    train: Train, image_dataset: Path, tmp_path: Path, fusion: str
) -> None:
    first = train(fusion)
    still = ("lr_connector=1e-12", "lr_gates=1e-12", f"init_from={first}")
    second = finetune(config(image_dataset, tmp_path / "o", fusion, *still)).folder
    before, after = (load_file(p / "caslie_adapter.safetensors") for p in (first, second))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=0)


def test_lora_can_be_added(train: Train, image_dataset: Path, tmp_path: Path) -> None:
    begin = f"init_from={train('xattn')}"
    folder = finetune(config(image_dataset, tmp_path / "o", "xattn", begin, lora=True)).folder
    assert any("lora_" in name for name in load_file(folder / "caslie_adapter.safetensors"))


def test_its_shapes_are_the_defaults(image_dataset: Path, tmp_path: Path) -> None:
    first = finetune(config(image_dataset, tmp_path / "a", "concat", "connector.latents=3")).folder
    second = finetune(config(image_dataset, tmp_path / "b", "concat", f"init_from={first}")).folder
    asked = evaluate_config(
        model=str(second),
        data=str(image_dataset),
        out=tmp_path / "e",
        tasks=["cc"],
        splits=("test",),
        device="cpu",
    )
    assert evaluate(asked).metrics["results"][0]["samples"] == 6


@pytest.mark.parametrize(
    ("fusion", "setting", "message"),
    [
        ("xattn", "connector.latents=4", "latents is 8, not 4; give the settings it was made with"),
        ("xattn", "connector.guide=false", "guide is True, not False"),
        ("concat", "lr=0.1", "fusion is xattn, not concat"),
        (
            "xattn",
            "connector={adapter_every: 4, latents: 8, resampler_blocks: 3}",
            "resampler_blocks is 2, not 3",
        ),
    ],
)
def test_other_shapes_than_the_adapters_are_an_error(
    train: Train, image_dataset: Path, tmp_path: Path, fusion: str, setting: str, message: str
) -> None:
    begin = f"init_from={train('xattn')}"
    with pytest.raises(ModelError, match=message):
        finetune(config(image_dataset, tmp_path / "o", fusion, begin, setting))


@pytest.mark.parametrize(
    ("made_with", "default", "message"),
    [
        ("connector.latents=3", "connector.latents=8", "latents is 3, not 8"),
        ("connector.guide=false", "connector.guide=true", "guide is False, not True"),
    ],
)
def test_a_default_that_is_asked_for_counts_as_asked(
    image_dataset: Path, tmp_path: Path, made_with: str, default: str, message: str
) -> None:
    first = finetune(config(image_dataset, tmp_path / "a", "xattn", made_with, "samples_per_task=2")).folder
    asked = config(image_dataset, tmp_path / "o", "xattn", f"init_from={first}", default)
    with pytest.raises(ModelError, match=message):
        finetune(asked)


def test_the_saved_config_has_the_shapes_of_init_from(
    train: Train, image_dataset: Path, tmp_path: Path
) -> None:
    """Sizes that follow from the language model were not asked for; each training has its own initial gates."""
    left_open = (
        "connector.resampler_width=0",
        "connector.first_adapter_layer=null",
        f"init_from={train('xattn')}",
    )
    completed = with_shapes_of_init_from(config(image_dataset, tmp_path / "o", "xattn", *left_open))
    there = json.loads((train("xattn") / "caslie_config.json").read_text())["config"]
    assert completed.connector.resampler_width == there["resampler_width"] > 0
    assert completed.connector.first_adapter_layer == there["first_adapter_layer"] is not None
    assert completed.connector.gate_init == 1
    assert with_shapes_of_init_from(completed) == completed


def test_another_encoder_fails_before_features_are_computed(
    train: Train, image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = f"init_from={train('xattn')}"
    monkeypatch.setattr(VisionEncoder, "encode", lambda *_: pytest.fail("it computes features"))
    monkeypatch.setenv("CASLIE_MODEL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match=r"another vision encoder than 'random:tiny-vit' with pool=1"):
        finetune(config(image_dataset, tmp_path / "o", "xattn", begin, "vision.pool=1"))
    assert not (tmp_path / "o").exists()


def test_its_lora_stays_as_it_is_unless_lora_is_trained(
    train: Train, image_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train("xattn", True)
    before = load_file(first / "caslie_adapter.safetensors")
    lora = [name for name in before if "lora_" in name]
    assert lora
    for trains in (False, True):
        out = tmp_path / f"lora {trains}"
        finetune(config(image_dataset, out, "xattn", f"init_from={first}", lora=trains))
        after = load_file(out / "caslie_adapter.safetensors")
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in lora) != trains
        assert not torch.equal(after["adapters.1.gate"], before["adapters.1.gate"])
        said = capsys.readouterr().err
        assert (f"the LoRA of {first} stays as it is; give --lora to train it too" in said) != trains
    asked = config(image_dataset, tmp_path / "o", "xattn", "lora.rank=2", f"init_from={first}", lora=True)
    with pytest.raises(ModelError, match=r"lora.rank is 4, not 2; give the settings"):
        finetune(asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "another base model: random:tiny"),
        ({"num_hidden_layers": 3}, "num_hidden_layers=2, but this one has 3; give random:tiny"),
    ],
)
def test_an_adapter_of_another_base_is_an_error(
    train: Train, image_dataset: Path, tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    from transformers import AutoModelForCausalLM

    base = load_base_model("random:tiny")
    for name, value in changes.items():
        setattr(base.model.config, name, value)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(base.model.config).save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    settings = (f"init_from={train('xattn')}", f"base_model={tmp_path / 'base'}")
    with pytest.raises(ModelError, match=message):
        finetune(config(image_dataset, tmp_path / "o", "xattn", *settings))


def test_a_folder_without_a_fusion_adapter_is_named(image_dataset: Path, tmp_path: Path) -> None:
    text = finetune(config(image_dataset, tmp_path / "text", "text")).folder
    with pytest.raises(ModelError, match="an adapter of another kind"):
        finetune(config(image_dataset, tmp_path / "o", "xattn", f"init_from={text}"))
    with pytest.raises(ModelError, match="init_from=nowhere: there is no such folder"):
        finetune(config(image_dataset, tmp_path / "p", "xattn", "init_from=nowhere"))
    with pytest.raises(ConfigError, match="give another fusion than text"):
        config(image_dataset, tmp_path / "o", "text", f"init_from={text}")
