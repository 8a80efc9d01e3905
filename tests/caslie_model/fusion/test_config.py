"""Shapes that follow from the language model, and choices that mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from caslie_model.config.files import FUSION_CONFIG
from caslie_model.errors import ModelError
from caslie_model.fusion import CaslieConfig, CaslieForCausalLM
from caslie_model.fusion.adapter_files import read_adapter_config


def config(hidden: int = 64, layers: int = 6, **choices: Any) -> CaslieConfig:
    text = LlamaConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4, vocab_size=32)
    return CaslieConfig(text_config=text, **choices)


@pytest.mark.parametrize(
    ("hidden", "layers", "width", "heads", "adapters"),
    [
        (64, 2, 64, 2, (1,)),
        (576, 30, 256, 8, (10, 14, 18, 22, 26)),
        (2048, 16, 512, 8, (5, 9, 13)),
        (4096, 32, 512, 8, (11, 15, 19, 23, 27, 31)),
    ],
)
def test_the_connector_follows_the_language_model(
    hidden: int, layers: int, width: int, heads: int, adapters: tuple[int, ...]
) -> None:
    made = config(hidden, layers)
    assert (made.resampler_width, made.resampler_heads) == (width, heads)
    assert (made.adapter_width, made.adapter_heads) == (width, heads)
    assert made.adapter_layers == adapters


def test_a_config_reads_back_as_itself() -> None:
    lora = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ("q_proj", "v_proj")}
    made = config(fusion="concat", latents=4, lora=lora)
    again = AutoConfig.for_model(**made.to_dict())
    assert type(again) is CaslieConfig
    assert again.to_dict() == made.to_dict()
    assert again.tokens_per_image == 4
    assert config(fusion="concat-full").tokens_per_image == 49


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"fusion": "text"}, "fusion 'text' is not there; choose from: xattn, concat, concat-full"),
        ({"feature_norm": "batch"}, "feature_norm 'batch' is not one of layer, standard, none"),
        ({"latents": 0}, "latents=0 is not a whole number of 1 or more"),
        ({"adapter_every": 2.5}, r"adapter_every=2.5 is not a whole number"),
        (
            {"adapter_width": 100, "adapter_heads": 8},
            "adapter_width=100 does not divide into adapter_heads=8",
        ),
        ({"first_adapter_layer": 6}, "first_adapter_layer=6: the language model has layers 0 to 5"),
        ({"first_adapter_layer": -1}, "first_adapter_layer=-1"),
        ({"lora": {"r": 4}}, "give alpha, dropout, modules_to_save, rank, target_modules"),
        ({"gate_init": "open"}, "gate_init='open' is not a number"),
        ({"state_scales": [1.0, 2.0]}, "give a number above 0 for each of the layers"),
        ({"state_scales": [0.0]}, "give a number above 0 for each of the layers"),
    ],
)
def test_choices_that_mean_nothing_are_named(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        config(**choices)


def test_a_misspelt_choice_is_named() -> None:
    text = config().get_text_config()
    with pytest.raises(ModelError, match="no such setting of a fusion model: latent"):
        CaslieConfig.for_base(text, latent=4)
    made = CaslieConfig.for_base(text, latents=4)
    assert CaslieConfig.for_base(text, **made.choices()).to_dict() == made.to_dict()


def test_names_of_earlier_versions_are_read(make: SimpleNamespace, tmp_path: Path) -> None:
    made = config(first_adapter_layer=1, adapter_every=2, base_fingerprint="abc")
    fields = made.to_dict()
    assert not {"first_layer", "base_identity"} & fields.keys()
    fields |= {"first_layer": fields.pop("first_adapter_layer"), "every": fields.pop("adapter_every")}
    fields |= {"base_identity": fields.pop("base_fingerprint")}
    assert AutoConfig.for_model(**fields).to_dict() == made.to_dict()
    model = make.model("xattn", first_layer=1, adapter_every=2)
    assert (model.config.first_adapter_layer, model.config.adapter_every) == (1, 2)
    model.save_adapter(tmp_path)
    file = tmp_path / FUSION_CONFIG
    text = file.read_text()
    old = text.replace("first_adapter_layer", "first_layer").replace("adapter_every", "every")
    file.write_text(old.replace("_fingerprint", "_identity"))
    assert read_adapter_config(tmp_path) == json.loads(text)


def test_a_connector_is_built_on_shapes_alone_when_its_scale_is_given() -> None:
    text = config(fusion="concat").get_text_config()
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(text)
        model = CaslieForCausalLM.from_base(base, fusion="concat", visual_scale=0.02)
    assert model.projector is not None
    assert all(weight.is_meta for weight in model.parameters())


def test_adapters_measure_what_they_add_to(make: SimpleNamespace) -> None:
    base = make.language_model()
    with torch.no_grad():
        base.get_input_embeddings().weight.mul_(100)
    tokens = torch.randint(1, 64, (1, 60), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        states = base(tokens, output_hidden_states=True).hidden_states
    model = make.model(base=base)
    for layer, scale in zip(model.config.adapter_layers, model.config.state_scales, strict=True):
        assert scale == pytest.approx(float(states[layer].square().mean().sqrt()), rel=0.5)
        assert model.adapters[str(layer)].scale == scale
    assert make.model("concat").config.state_scales is None


def test_an_adapter_adds_in_the_measure_of_the_states(make: SimpleNamespace) -> None:
    small, large = (make.model(state_scales=[scale] * 2) for scale in (1.0, 10.0))
    hidden = torch.randn(1, 3, 32)
    media = small.adapters["1"].keys_values(torch.randn(2, 3, small.config.resampler_width))
    keys_values = media.permute(1, 2, 0, 3, 4).flatten(2, 3)[None]
    visible = torch.ones(1, 3, 2, dtype=torch.bool)
    first, second = (model.adapters["1"](hidden, keys_values, visible) - hidden for model in (small, large))
    torch.testing.assert_close(second, 10 * first)
