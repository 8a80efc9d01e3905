from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from caslie_model.base_model import load_base_model
from caslie_model.cost import on_meta
from caslie_model.counting import Counting, Operation, total_flops
from caslie_model.fusion import CaslieForCausalLM
from caslie_model.trainer import enable_checkpointing

PATCHES, WIDTH = 4, 16


def build(kind: str, base: Any) -> Any:
    if kind == "text":
        from peft import LoraConfig, get_peft_model

        return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1)).train()
    lora = (
        {"rank": 4, "alpha": 8, "dropout": 0.1, "target_modules": "all-linear"} if kind != "xattn" else None
    )
    return CaslieForCausalLM.from_base(
        base,
        fusion=kind.partition(" ")[0],
        vision_width=WIDTH,
        vision_patches=PATCHES,
        lora=lora,
        visual_scale=0.02,
    ).train()


def batch(kind: str) -> dict[str, Any]:
    """Two samples, the first padded on the left, the second with two pictures."""
    ids = torch.arange(1, 61).reshape(2, 30)
    mask = torch.ones_like(ids)
    mask[0, :7] = 0
    labels = torch.tensor([[-100, 5, 6], [-100, -100, 7]])
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "labels": labels,
        "logits_to_keep": 3,
    }
    if kind == "text":
        return inputs
    inputs |= {
        "image_counts": torch.tensor([0, 2]),
        "image_items": torch.tensor([1, 2]),
        "guide_ids": torch.ones(2, 3, dtype=torch.long),
        "token_items": torch.zeros(2, 30, dtype=torch.long),
    }
    if kind.startswith("concat"):
        slots = torch.full((2, 30), -1)
        slots[1, 4:20] = torch.arange(16)
        inputs["token_slots"] = slots
    return inputs


def second_pass(counting: Counting, model: Any, kind: str) -> tuple[int, int, Any]:
    """Bytes kept for the backward pass, the most at once and the operations; the weights are known by then."""
    for _ in range(2):
        inputs = batch(kind)
        if kind != "text":
            inputs["image_features"] = counting.empty(2, PATCHES, WIDTH)
        with counting:
            counting.begin()
            before = counting.alive
            loss = model(**inputs).loss
            kept = counting.alive - before
            loss.backward()
        del loss
        model.zero_grad()
    return kept, counting.most_alive - before, counting.operations


@pytest.mark.parametrize("kind", ["text", "xattn", "xattn lora", "concat lora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_shapes_alone_give_the_bytes_and_operations_of_a_real_step(kind: str, checkpointing: bool) -> None:
    base = load_base_model("random:tiny").model
    with torch.device("meta"):
        shapes = build(kind, on_meta(base))
    real = build(kind, copy.deepcopy(base))
    found = []
    for model, shapes_only in ((shapes, True), (real, False)):
        counting = Counting(shapes_only)
        counting.fill(model, "cpu")
        if checkpointing:
            enable_checkpointing(model)
        found.append(second_pass(counting, model, kind))
    assert found[0] == found[1]
    assert 0 < found[0][0] < found[0][1]


def test_nothing_is_computed_or_allocated() -> None:
    counting = Counting(shapes_only=True)
    with torch.device("meta"):
        layer = nn.Linear(1_000_000, 1_000_000)  # 4 TB
    counting.fill(layer, "cpu")
    with counting:
        counting.begin()
        result = layer(counting.empty(3, 1_000_000))
    assert result.shape == (3, 1_000_000)
    assert total_flops(counting.operations) == 2 * 3 * 1e12


def test_tensors_that_are_shared_stay_shared() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model[1].weight = model[0].weight
    counting = Counting(shapes_only=True)
    counting.fill(model, "cpu")
    assert counting.alive == 4 * (16 + 4 + 4)
    assert model[0].weight is model[1].weight
    assert model[0].weight.device.type == "cpu"


def test_integers_are_real_as_a_model_decides_by_them() -> None:
    counting = Counting(shapes_only=True)
    with counting:
        places = torch.arange(4) + 1
        picked = counting.empty(4, 2)[torch.tensor([0, 2])]
    assert places.tolist() == [1, 2, 3, 4]
    assert picked.shape == (2, 2)


def test_what_is_counted_of_an_operation(measured: Callable[..., list[Operation]]) -> None:
    one, other = torch.ones(2, 3), torch.ones(3, 5)
    assert measured(lambda: one @ other) == [Operation(2.0 * 2 * 3 * 5, 4 * (6 + 15 + 10), 0)]
    assert measured(lambda: one * one) == [Operation(0.0, 4 * 18, 0)]
    assert measured(lambda: one.t()) == []  # another look at the same numbers
    assert measured(lambda: torch.empty(2).bernoulli_(0.5)) == [Operation(0.0, 16, 2)]


def test_memory_that_is_given_back_is_no_longer_counted() -> None:
    counting = Counting(shapes_only=False)
    with counting:
        first = torch.ones(1000)
        second = first * 2
        del first
        assert counting.alive == 4000
        third = second.view(10, 100)
        assert counting.alive == 4000
    assert counting.most_alive == 8000
    del second, third
    assert counting.alive == 0


@pytest.fixture
def measured() -> Callable[..., list[Operation]]:
    def run(work: Callable[[], Any]) -> list[Operation]:
        with Counting(shapes_only=False) as counting:
            counting.begin()
            work()
        return list(counting.operations.elements())

    return run
