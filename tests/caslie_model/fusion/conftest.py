"""Tiny language models of several families, fusion models on them, and batches as a collator builds them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from caslie_model.fusion import CaslieForCausalLM
from caslie_model.fusion.loss import IGNORED

VOCABULARY, PATCHES, WIDTH = 64, 5, 12
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
CONFIGS: dict[str, Any] = {
    "llama": lambda **more: LlamaConfig(**_SHAPE, **more),
    "mistral": lambda **more: MistralConfig(**_SHAPE, sliding_window=6, **more),
    "qwen3": lambda **more: Qwen3Config(**_SHAPE, head_dim=8, **more),
    "phi3": lambda **more: Phi3Config(**_SHAPE, **more),
    "gemma2": lambda **more: Gemma2Config(**_SHAPE, head_dim=8, sliding_window=6, **more),
    "gemma3": lambda **more: Gemma3TextConfig(**_SHAPE, head_dim=8, sliding_window=6, **more),
    "gpt2": lambda **more: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=4,
        n_head=4,
        n_inner=64,
        eos_token_id=0,
        bos_token_id=0,
        **more,
    ),
}
FAMILIES = tuple(CONFIGS)


@dataclass(frozen=True)
class Question:
    """A sample: its prompt and the item each token belongs to, its images as (features, item), its answer."""

    prompt: Sequence[int]
    items: Sequence[int]
    images: Sequence[tuple[Tensor, int]] = ()
    answer: Sequence[int] = field(default=())


def make_language_model(family: str = "llama", seed: int = 0, **more: Any) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(CONFIGS[family](**more)).eval()


def make_model(
    fusion: str = "xattn",
    family: str = "llama",
    base: PreTrainedModel | None = None,
    speaking: bool = True,
    **choices: Any,
) -> CaslieForCausalLM:
    """Return a model with open gates (unless asked otherwise) on a copy of the base model, in evaluation mode.

    speaking: its adapters add something, as those of a trained model do.
    """
    defaults: dict[str, Any] = {
        "vision_width": WIDTH,
        "vision_patches": PATCHES,
        "latents": 3,
        "adapter_every": 2,
        "gate_init": 1.0,
        "guide_gate_init": 1.0,
    }
    base = make_language_model(family) if base is None else base
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = CaslieForCausalLM.from_base(copy.deepcopy(base), fusion=fusion, **{**defaults, **choices})
        if speaking:
            for adapter in model.adapters.values():
                torch.nn.init.normal_(adapter.output.weight, std=0.1)
        return model.eval()


def make_question(seed: int, images: int = 2, length: int = 9, answer: Sequence[int] = (7, 0)) -> Question:
    """Return a prompt: an instruction without images, the text of each item, an end that attends to all images."""
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
    items = [-1, -1] + [1 + i * images // (length - 4) for i in range(length - 4)] + [0, 0]
    images = [(torch.randn(PATCHES, WIDTH, generator=generator), i + 1) for i in range(images)]
    return Question(prompt, items if images else [0] * length, images, answer)


def make_batch(
    model: CaslieForCausalLM, questions: Sequence[Question], answers: bool = False
) -> dict[str, Tensor]:
    """Return the inputs of a model for questions, padded on the left; with `answers` also the answers and labels.

    For concat the visual tokens follow the prompt's second token.
    """
    per_image = model.config.tokens_per_image if model.config.fusion != "xattn" else 0
    rows = []
    for question in questions:
        tokens, items = list(question.prompt), list(question.items)
        visual = list(range(per_image * len(question.images)))
        slots = [-1, -1, *visual, *[-1] * (len(tokens) - 2)]
        tokens[2:2], items[2:2] = [0] * len(visual), [0] * len(visual)
        if answers:
            tokens, items = [*tokens, *question.answer], [*items, *[0] * len(question.answer)]
            slots += [-1] * len(question.answer)
        rows.append((tokens, items, slots))
    width = max(len(tokens) for tokens, _, _ in rows)
    mask = torch.tensor([[0] * (width - len(t)) + [1] * len(t) for t, _, _ in rows])
    images = [image for question in questions for image in question.images]
    guides = [[*question.prompt[:2], number] for question in questions for _, number in question.images]
    batch = {
        "input_ids": torch.tensor([[0] * (width - len(t)) + t for t, _, _ in rows]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
        "token_items": torch.tensor([[0] * (width - len(i)) + i for _, i, _ in rows]),
        "image_features": torch.stack([f for f, _ in images]) if images else torch.zeros(0, PATCHES, WIDTH),
        "image_counts": torch.tensor([len(question.images) for question in questions]),
        "image_items": torch.tensor([item for _, item in images], dtype=torch.long),
        "image_roles": torch.tensor([2 for _ in images], dtype=torch.long),
        "guide_ids": torch.tensor(guides, dtype=torch.long).reshape(len(images), 3),
        "guide_mask": torch.ones(len(images), 3, dtype=torch.long),
    }
    if per_image:
        batch["token_slots"] = torch.tensor([[-1] * (width - len(s)) + s for _, _, s in rows])
    if answers:
        longest = max(len(question.answer) for question in questions) + 1
        batch["labels"] = torch.tensor(
            [[IGNORED] * (longest - len(question.answer)) + list(question.answer) for question in questions]
        )
    return batch


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        language_model=make_language_model, model=make_model, question=make_question, batch=make_batch
    )


@pytest.fixture(scope="session")
def without_images() -> Callable[[Question], Question]:
    return lambda question: replace(question, images=(), items=[0] * len(question.items))
