"""Gradients, and that a model learns what only the image tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

YES, NO = 5, 9


def draw_questions(make: SimpleNamespace, seed: int, count: int) -> list[Any]:
    """Return questions with the same text whose image is of one of two kinds: the answer is which."""
    from dataclasses import replace

    kinds = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(99))
    draw = torch.Generator().manual_seed(seed)
    asked = make.question(3, images=1)
    questions = []
    for number in range(count):
        kind = number % 2
        features = kinds[kind] + 0.3 * torch.randn(5, 12, generator=draw)
        questions.append(replace(asked, images=[(features, 1)], answer=((YES, NO)[kind], 0)))
    return questions


def accuracy(model: Any, make: SimpleNamespace, questions: list[Any]) -> float:
    batch = make.batch(model.eval(), questions)
    with torch.inference_mode():
        logits = model(**batch, logits_to_keep=1).logits[:, -1]
    right: Tensor = logits.argmax(dim=1) == torch.tensor([question.answer[0] for question in questions])
    return float(right.float().mean())


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
def test_a_model_learns_what_only_the_image_tells(make: SimpleNamespace, fusion: str) -> None:
    torch.manual_seed(0)
    model = make.model(fusion, gate_init=0.0, guide_gate_init=0.0).train()
    groups = model.parameter_groups()
    optimiser = torch.optim.AdamW(
        [
            {"params": groups.pop("gates"), "lr": 0.05},
            *({"params": each, "lr": 1e-2} for each in groups.values()),
        ]
    )
    batch = make.batch(model, draw_questions(make, 0, 32), answers=True)
    for _ in range(80):
        optimiser.zero_grad()
        model(**batch).loss.backward()
        optimiser.step()
    unseen = draw_questions(make, 1, 64)
    assert accuracy(model, make, unseen) == 1.0
    # With an image that tells nothing there is one answer for all.
    blind = [type(q)(q.prompt, q.items, [(torch.zeros(5, 12), 1)], q.answer) for q in unseen]
    assert accuracy(model, make, blind) <= 0.5
