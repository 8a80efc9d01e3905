"""FLOPs of the ways that `fusion.py` compares: by formula, and by torch's counter on shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from fusion_cases import (
    ANSWER,
    CASES,
    GUIDE,
    LORA_RANK,
    PHASES,
    SHAPES,
    VISION_WIDTH,
    Way,
    add_lora,
    build,
    decode,
    inputs_for,
    loss_of,
    prefill,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, masking_utils

from caslie_model.fusion.config import CaslieConfig

# -- FLOPs by formula --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Products:
    """How products of matrices are summed up; a multiply-add counts 2.

    back: a training step. work: what the kernels do; else what the counter counts, which takes attention for two
    products each way and whole squares.
    """

    back: bool
    work: bool

    def linear(self, rows: int, width_in: int, width_out: int, weight: bool, entry: bool = True) -> float:
        """Return the FLOPs of a linear layer; weight, entry: whether it passes gradients to these."""
        return 2.0 * rows * width_in * width_out * (1 + self.back * (weight + entry))

    def attention(
        self, queries: int, keys: int, width: int, causal: bool = False, back: bool = True
    ) -> float:
        """Return the FLOPs of attention. causal: queries are the last of the keys."""
        pairs: float = queries * keys
        if causal and self.work:
            pairs -= queries * (queries - 1) / 2
        return pairs * width * (4 + (10 if self.work else 8) * (self.back and back))


def formula(shape: str, way: Way, images: int, tokens: int, phase: str, work: bool) -> float:
    """Return the FLOPs of a phase."""
    sizes = SHAPES[shape]
    choices: dict[str, Any] = {} if way.fusion == "text" else {"fusion": way.fusion}
    config = CaslieConfig.for_base(LlamaConfig(**sizes), vision_patches=way.patches, **choices)
    one_by_one, lora = phase == "decode", phase == "training, LoRA"
    p = Products(phase.startswith("training"), work)
    visual = 0 if way.fusion in ("text", "xattn") else images * config.tokens_per_image
    length = tokens + visual
    new, keys = (1, length + 1) if one_by_one else (length, length)

    d, ff, vocabulary = (sizes[name] for name in ("hidden_size", "intermediate_size", "vocab_size"))
    kv = d // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    # Gradients reach down to the first layer with trained weights in front of it.
    lowest = 0 if lora or visual else config.adapter_layers[0] if config.adapter_layers else config.depth
    total = p.linear(ANSWER + 1 if p.back else 1, d, vocabulary, weight=False)
    for layer in range(config.depth):
        here = p if layer >= lowest else Products(False, work)
        outer = not (layer == 0 and not visual)  # whether the embeddings have gradients
        for width_in, width_out, is_first in (
            (d, d, True),
            (d, kv, True),
            (d, kv, True),
            (d, d, False),
            (d, ff, False),
            (d, ff, False),
            (ff, d, False),
        ):
            entry = outer or not is_first
            total += here.linear(new, width_in, width_out, weight=False, entry=entry)
            if lora:
                total += here.linear(new, width_in, LORA_RANK, weight=True, entry=entry)
                total += here.linear(new, LORA_RANK, width_out, weight=True)
        total += here.attention(new, keys, d, causal=True)
    if way.fusion == "text":
        return total

    r, a, k, g = config.resampler_width, config.adapter_width, config.latents, GUIDE
    # Images are encoded before the first token, then kept.
    n = 0 if one_by_one else images
    for _ in config.adapter_layers:
        total += p.linear(new, d, a, True) + p.linear(n * k, r, 2 * a, True) + p.linear(new, a, d, True)
        total += p.attention(new, images * k, a)
    if way.fusion == "concat-full":
        visual = n * way.patches
        return total + p.linear(visual, VISION_WIDTH, d, True) + p.linear(visual, d, d, True)
    total += p.linear(n * (way.patches + 1), VISION_WIDTH, r, True) + p.linear(n * g, d, r, True)
    for _ in range(config.resampler_blocks):
        for context in (g, way.patches + k):
            total += 2 * p.linear(n * k, r, r, True) + p.linear(n * context, r, 2 * r, True)
            total += n * p.attention(k, context, r)
        total += 2 * p.linear(n * k, r, 4 * r, True)
    return total + (p.linear(n * k, r, d, True) if way.fusion == "concat" else 0)


# -- FLOPs by torch's counter ------------------------------------------------------------------------------


def counted(shape: str, way: Way) -> Iterator[tuple[int, int, str, int]]:
    """Yield images, text tokens, phase and FLOPs, counted on the meta device.

    What reads values, which the meta device has none of, is left out or done on the CPU.
    """
    from caslie_model.fusion import model as module

    row_slots = module.row_slots

    def slots_on_meta(*args: Any) -> Any:
        return tuple(each.to("meta") for each in row_slots(*args))

    def step(inputs: dict[str, Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            loss_of(model, inputs).backward()
        model.zero_grad()
        return counter.get_total_flops()

    with (
        mock.patch.object(module, "row_slots", slots_on_meta),
        mock.patch.object(module, "check_slots"),
        mock.patch.object(masking_utils, "find_packed_sequence_indices", return_value=None),
    ):
        model = build(shape, way, "meta")
        cases = [(*case, inputs_for(model, way, *case, "meta")) for case in CASES]
        for images, tokens, inputs in cases:
            with FlopCounterMode(display=False) as counter:
                output = prefill(model, inputs)
            yield images, tokens, "prefill", counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                decode(model, way, inputs, output)
            yield images, tokens, "decode", counter.get_total_flops()
        model.train()
        for phase in PHASES[2:]:
            if phase == "training, LoRA":
                add_lora(model)
            elif way.fusion == "text":
                continue
            for images, tokens, inputs in cases:
                yield images, tokens, phase, step(inputs)


def _pairs(query: Any, key: Any, causal: bool) -> float:
    """Return how many pairs of queries and keys, in all heads, the CPU's kernel multiplies, times their width."""
    batch, heads, queries, width = query
    return batch * heads * width * (queries * key[2] - (queries * (queries - 1) / 2 if causal else 0))


def _attention(
    query: Any, key: Any, value: Any, dropout: float = 0.0, causal: bool = False, **_: Any
) -> float:
    return 4 * _pairs(query, key, causal)


def _attention_back(
    gradient: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    sums: Any,
    dropout: float,
    causal: bool,
    **_: Any,
) -> float:
    return 10 * _pairs(query, key, causal)


KERNELS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
}


def counted_work(model: Any, way: Way, images: int, tokens: int, phase: str) -> float:
    """Return the FLOPs of a phase as the CPU does it, counted in a real pass; attention by its kernel's arguments."""
    inputs = inputs_for(model, way, images, tokens)
    with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
        if phase.startswith("training"):
            loss_of(model, inputs).backward()
            model.zero_grad()
        else:
            output = prefill(model, inputs)
    if phase == "decode":
        with FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
            decode(model, way, inputs, output)
    return counter.get_total_flops()
