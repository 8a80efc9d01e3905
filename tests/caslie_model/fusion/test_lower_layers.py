"""States that stand in for the layers below the first adapter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from caslie_model.errors import ModelError
from caslie_model.fusion.lower_layers import check_entry, states_below

FAMILIES = ("llama", "mistral", "qwen3", "phi3", "gemma2", "gemma3", "gpt2")
TEXT = ("input_ids", "attention_mask", "position_ids")
NO_DROPOUT = {"gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}}


def build(make: SimpleNamespace, family: str, **choices: Any) -> Any:
    base = make.language_model(family, **NO_DROPOUT.get(family, {}))
    return make.model("xattn", base=base, **{"first_layer": 2, "every": 1, **choices}).train()


@pytest.fixture
def batch(make: SimpleNamespace) -> dict[str, Tensor]:
    """Samples of several lengths, padded on the left; one has no image."""
    shapes = ((2, 9), (0, 6), (3, 13), (1, 7))
    asked = [make.question(seed, images, length) for seed, (images, length) in enumerate(shapes)]
    made: dict[str, Tensor] = make.batch(make.model("xattn"), asked, answers=True)
    return made


def states_alone(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return the states of each sample computed by itself, and zeros where there is padding."""
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    states = torch.zeros(*ids.shape, model.config.hidden_size)
    for row in range(len(ids)):
        alone = ids[row, mask[row]][None]
        states[row, mask[row]] = states_below(
            model.language_model, model.config.first_layer, input_ids=alone
        )[0]
    return states


def step(model: Any, batch: dict[str, Tensor], **more: Any) -> dict[str, Tensor]:
    model.zero_grad()
    loss: Tensor = model(**batch, **more).loss
    loss.backward()
    found = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    return {"loss": loss.detach(), **found}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_are_the_same(
    make: SimpleNamespace, batch: dict[str, Tensor], family: str, checkpointing: bool
) -> None:
    model = build(make, family)
    expected = step(model, batch)
    if checkpointing:
        model.activation_checkpointing_enable()
    states = states_alone(model, batch)
    assert_same(step(model, batch, lower_states=states), expected)
    # The states are what counts: others give another loss.
    other = step(model, batch, lower_states=states.flip(0))["loss"]
    assert abs(float(other - expected["loss"])) > 1e-3
    # Nothing of it stays: without them the model computes as before.
    model.activation_checkpointing_disable()
    assert_same(step(model, batch), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_in_question_do_not_compute(
    make: SimpleNamespace, batch: dict[str, Tensor], family: str
) -> None:
    model = build(make, family)
    decoder = model.get_decoder()
    layers = decoder.h if family == "gpt2" else decoder.layers
    ran: list[int] = []
    for number, layer in enumerate(layers):
        for part in layer.children():
            part.register_forward_hook(lambda *_, number=number: ran.append(number))
    states = states_alone(model, batch)
    assert set(ran) == {0, 1}
    ran.clear()
    step(model, batch, lower_states=states)
    assert set(ran) == {2, 3}


def test_packed_samples_are_entered_too(make: SimpleNamespace, batch: dict[str, Tensor]) -> None:
    model = build(make, "mistral")
    real = batch["attention_mask"].bool()
    missing = real.shape[1] - batch["labels"].shape[1]
    rows = torch.arange(len(real))
    packed = {
        "input_ids": batch["input_ids"][real][None],
        "position_ids": batch["position_ids"][real][None],
        "token_items": batch["token_items"][real][None],
        "token_groups": rows[:, None].expand_as(real)[real][None],
        "labels": torch.nn.functional.pad(batch["labels"], (missing, 0), value=-100)[real][None],
        "image_counts": batch["image_counts"].sum()[None],
        "image_groups": rows.repeat_interleave(batch["image_counts"]),
        **{name: batch[name] for name in ("image_features", "image_items", "image_roles", "guide_ids")},
    }
    states = states_alone(model, batch)[real][None]
    assert_same(step(model, packed, lower_states=states), step(model, batch))


def test_lora_above_the_first_adapter_is_trained_alike(
    make: SimpleNamespace, batch: dict[str, Tensor]
) -> None:
    model = build(make, "llama")
    model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules=["2.self_attn.q_proj", "3.mlp.up_proj"])
    states = states_alone(model, batch)
    expected = step(model, batch)
    assert sum("lora" in name for name in expected) == 4
    assert_same(step(model, batch, lower_states=states), expected)


def test_what_changes_the_states_is_refused(make: SimpleNamespace, batch: dict[str, Tensor]) -> None:
    states = torch.zeros(*batch["input_ids"].shape, 32)
    model = build(make, "llama")
    model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules=["q_proj"])
    with pytest.raises(
        ModelError, match=r"layers\.0\.self_attn\.q_proj\.lora_A.* is below the first adapter"
    ):
        model(**batch, lower_states=states)
    with pytest.raises(ModelError, match=r"drops out a share of 0\.1 below the first adapter"):
        check_entry(make.model("xattn", "gpt2", first_layer=2))
    with pytest.raises(ModelError, match=r"drops out a share of 0\.5"):
        check_entry(
            make.model("xattn", base=make.language_model("llama", attention_dropout=0.5), first_layer=2)
        )
    with pytest.raises(ModelError, match="first_layer=0 has no layers below"):
        check_entry(make.model("xattn", first_layer=0))
    with pytest.raises(ModelError, match=r"fusion=concat .* has no layers below"):
        check_entry(make.model("concat"))


def test_states_that_do_not_fit_are_refused(make: SimpleNamespace, batch: dict[str, Tensor]) -> None:
    model = build(make, "llama")
    states = torch.zeros(*batch["input_ids"].shape, 32)
    with pytest.raises(ModelError, match=r"lower_states of shape \[4, 3, 32\], not \[4, 15, 32\]"):
        model(**batch, lower_states=states[:, :3])
    with pytest.raises(ModelError, match="give use_cache=False"):
        model(**batch, lower_states=states, use_cache=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_tried_first(make: SimpleNamespace, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(make, family)
    check_entry(model)
    # One whose layers hand on more than states, as those that share keys and values do.
    lower, upper = (model.get_decoder().h if family == "gpt2" else model.get_decoder().layers)[1:3]
    handed: list[float] = []
    forward = type(lower).forward

    def hand_on(*args: Any, **kwargs: Any) -> Tensor:
        handed[:] = [9.0]
        return forward(lower, *args, **kwargs)

    def take(*args: Any, **kwargs: Any) -> Tensor:
        return forward(upper, *args, **kwargs) * (handed.pop() if handed else 1.0)

    monkeypatch.setattr(lower, "forward", hand_on)
    monkeypatch.setattr(upper, "forward", take)
    with pytest.raises(ModelError, match="cannot be entered in the middle"):
        check_entry(model)
