"""The base model, and text that attends to no image, must not change."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from caslie_model.errors import ModelError
from caslie_model.fusion import CaslieForCausalLM
from caslie_model.fusion.language_model import decoder_layers

FAMILIES = ("llama", "mistral", "qwen3", "phi3", "gemma2", "gemma3", "gpt2")
TEXT = ("input_ids", "attention_mask", "position_ids")


def text_of(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: batch[name] for name in TEXT}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_before_its_training_a_model_is_its_base_model(
    make: SimpleNamespace, family: str, gate: float
) -> None:
    """Shut gates add nothing, and a new adapter adds nothing through open ones."""
    base = make.language_model(family)
    model = make.model("xattn", family, gate_init=gate, speaking=gate == 0)
    batch = make.batch(model, [make.question(1), make.question(2, images=1, length=12)])
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, base(**text_of(batch)).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_change_only_the_tokens_that_attend_to_them(make: SimpleNamespace, family: str) -> None:
    base = make.language_model(family)
    model = make.model("xattn", family)
    batch = make.batch(model, [make.question(1), make.question(2, images=0), make.question(3, images=3)])
    with torch.inference_mode():
        ours, theirs = model(**batch).logits, base(**text_of(batch)).logits
    assert torch.equal(ours[1], theirs[1])  # a row without images among others
    assert not torch.allclose(ours[0], theirs[0], atol=1e-2)
    assert not torch.allclose(ours[2], theirs[2], atol=1e-2)


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
def test_a_batch_without_any_image_is_the_base_models(make: SimpleNamespace, fusion: str) -> None:
    model = make.model(fusion)
    batch = make.batch(model, [make.question(1, images=0), make.question(2, images=0)])
    with torch.inference_mode():
        expected = make.language_model()(**text_of(batch)).logits
        assert torch.equal(model(**batch).logits, expected)
        assert torch.equal(model(**text_of(batch)).logits, expected)


def test_text_before_the_first_image_is_unchanged(make: SimpleNamespace) -> None:
    model = make.model("xattn", adapter_every=1, first_adapter_layer=0)
    batch = make.batch(model, [make.question(1)])
    batch["token_items"][:, :5] = -1  # attends to nothing
    with torch.inference_mode():
        ours, theirs = model(**batch).logits, make.language_model()(**text_of(batch)).logits
    assert torch.equal(ours[:, :5], theirs[:, :5])
    assert not torch.allclose(ours[:, 5:], theirs[:, 5:], atol=1e-2)


def test_the_text_of_an_item_attends_to_its_own_image_only(make: SimpleNamespace) -> None:
    model = make.model("xattn", adapter_every=1)
    question = make.question(1, images=3, length=13)
    images = list(question.images)
    images[2] = (torch.randn(5, 12, generator=torch.Generator().manual_seed(8)), 3)
    with torch.inference_mode():
        before = model(**make.batch(model, [question])).logits[0]
        after = model(**make.batch(model, [replace(question, images=images)])).logits[0]
    of_item_3 = question.items.index(3)
    items = torch.tensor(question.items)
    # Items 1 and 2 come before item 3, and the instruction attends to nothing: no token could pass it on to them.
    unaffected = (items == 1) | (items == 2)
    assert unaffected.sum() > 4
    assert torch.equal(before[unaffected], after[unaffected])
    for position in (of_item_3, len(items) - 1):
        assert not torch.allclose(before[position], after[position], atol=1e-3)


def test_all_text_attends_to_an_image_of_no_item(make: SimpleNamespace) -> None:
    model = make.model("xattn", adapter_every=1)
    question = make.question(1, images=3, length=13)
    shared = [(features, 0) for features, _ in question.images]
    changed = [*shared[:2], (torch.randn(5, 12, generator=torch.Generator().manual_seed(8)), 0)]
    with torch.inference_mode():
        before, after = (
            model(**make.batch(model, [replace(question, images=images)])).logits[0]
            for images in (shared, changed)
        )
    changes = (before - after).abs().amax(dim=1)
    assert bool((changes[2:] > 1e-3).all())
    assert bool((changes[:2] == 0).all())  # the instruction, which attends to nothing


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_models_modules_and_names_are_untouched(make: SimpleNamespace, family: str) -> None:
    base = make.language_model(family)
    model = make.model("xattn", family)
    assert [name for name, _ in model.language_model.named_modules()] == [
        name for name, _ in base.named_modules()
    ]
    weights = base.state_dict()
    ours = model.language_model.state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
    assert model.language_model.config._attn_implementation == base.config._attn_implementation


def test_the_resamplers_guide_and_item_numbers_matter(make: SimpleNamespace) -> None:
    model = make.model("xattn")
    batch = make.batch(model, [make.question(1)])
    with torch.inference_mode():
        before = model(**batch).logits[0, -1]
        for name, value in (("guide_ids", batch["guide_ids"] + 1), ("image_roles", batch["image_roles"] - 1)):
            assert not torch.allclose(model(**{**batch, name: value}).logits[0, -1], before, atol=1e-4)


def test_a_guide_of_padding_alone_is_no_guide(make: SimpleNamespace) -> None:
    model = make.model("xattn")
    batch = make.batch(model, [make.question(1)])
    batch["guide_mask"] = torch.zeros_like(batch["guide_mask"])
    with torch.inference_mode():
        before = model(**batch).logits
        after = model(**{**batch, "guide_ids": batch["guide_ids"] + 1}).logits
    assert torch.isfinite(before).all()
    assert torch.equal(before, after)


def test_a_model_without_reachable_layers_is_named() -> None:
    from transformers import T5Config, T5ForConditionalGeneration, XLNetConfig, XLNetLMHeadModel

    shape = {"d_model": 8, "vocab_size": 16, "num_layers": 1, "num_heads": 2, "d_kv": 4, "d_ff": 8}
    with pytest.raises(ModelError, match="T5ForConditionalGeneration has an encoder"):
        decoder_layers(T5ForConditionalGeneration(T5Config(**shape)))
    model = XLNetLMHeadModel(XLNetConfig(vocab_size=16, d_model=8, n_layer=1, n_head=2, d_inner=8))
    with pytest.raises(ModelError, match=r"XLNetLMHeadModel: its decoder .* keeps no list of layers"):
        CaslieForCausalLM.from_base(model)
