"""Continuations that share first tokens: one pass over their tree gives what each gives alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DeepseekV3Config,
    DeepseekV32Config,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from caslie_model.fusion import CaslieForCausalLM
from caslie_model.inference import option_scores
from caslie_model.inference.option_scores import PromptPass, continuation_scores

VOCABULARY = 64
SHAPE: dict[str, Any] = {
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
LEARNT = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.2}
CHUNKS: dict[str, Any] = {"head_dim": 8, "moe_layers": [], "intermediate_size_mlp": 64}
LATENT: dict[str, Any] = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 4,
}
# A model, and whether its continuations are scored as a tree.
FAMILIES: dict[str, tuple[Any, bool]] = {
    "llama": (LlamaConfig(**SHAPE), True),
    "llama, eager": (LlamaConfig(**SHAPE, attn_implementation="eager"), True),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=8), True),
    "learnt positions": (GPT2Config(**LEARNT, n_embd=32, n_layer=4, n_head=4), True),
    "a wide window": (MistralConfig(**SHAPE, sliding_window=64), True),
    "a narrow window": (MistralConfig(**SHAPE, sliding_window=8), False),
    "gemma3, wide": (Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=64), True),
    "gemma3, narrow": (Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=8), False),
    "local attention": (
        GPTNeoConfig(
            **LEARNT,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            window_size=8,
            attention_types=[[["global", "local"], 1]],
        ),
        False,
    ),
    "capped logits": (Gemma2Config(**SHAPE, head_dim=8, attn_logit_softcapping=2.0), True),
    "attention sinks": (
        GptOssConfig(**SHAPE, head_dim=8, sliding_window=64, num_local_experts=4, num_experts_per_tok=2),
        True,
    ),
    "latent attention": (
        DeepseekV3Config(**SHAPE | {"num_key_value_heads": 4}, **LATENT),
        True,
    ),
    "wide chunks": (Llama4TextConfig(**SHAPE, **CHUNKS, attention_chunk_size=64), True),
    "narrow chunks": (Llama4TextConfig(**SHAPE, **CHUNKS, attention_chunk_size=8), False),
    "biases by distance": (FalconConfig(**SHAPE, alibi=True), False),
    "positions from the mask": (BloomConfig(**LEARNT, hidden_size=32, n_layer=2, n_head=4), False),
}
PROMPTS = ([9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 12], [21, 22, 23, 24, 25], [31, 32, 33, 34, 35, 36, 37])
CONTINUATIONS: tuple[dict[str, tuple[int, ...]], ...] = (
    # Shared starts, one continuation that is the start of another, and one of a single token.
    {"A": (41, 42, 43, 0), "B": (41, 42, 44, 45, 0), "C": (41, 42, 43), "D": (46, 0), "E": (47,)},
    {"A": (41, 0), "B": (41, 42, 43, 44, 45, 46, 47, 0)},
    {"A": (51,), "B": (52,)},
)


def make(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def prompt_pass(model: Any, prompts: Sequence[Sequence[int]], **more: Any) -> PromptPass:
    width = max(map(len, prompts))
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
    with torch.inference_mode():
        output = model(
            input_ids=torch.tensor([[0] * (width - len(each)) + [*each] for each in prompts]),
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=True,
            **more,
        )
    media = getattr(output, "media", None)
    inputs_of = (lambda rows: {}) if media is None else (lambda rows: {"media": media.rows(rows)})
    return PromptPass(output.past_key_values, mask, output.logits[:, -1], inputs_of=inputs_of)


def whole_scores(
    model: Any, prompt: Sequence[int], answers: Mapping[str, Sequence[int]], **more: Any
) -> dict[str, float]:
    """Return the likelihoods by a full pass over each sequence."""
    scores = {}
    for label, tokens in answers.items():
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *tokens]]), use_cache=False, **more).logits[0]
        likelihoods = logits.log_softmax(dim=-1)[len(prompt) - 1 :]
        scores[label] = float(sum(likelihoods[i, token] for i, token in enumerate(tokens)))
    return scores


def check(model: Any, scores: Sequence[Mapping[str, float]], wanted: Sequence[Mapping[str, float]]) -> None:
    for found, expected in zip(scores, wanted, strict=True):
        assert list(found) == list(expected)
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("memory", [16_384, 40])
def test_scores_are_those_of_whole_sequences(
    family: str, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, as_tree = FAMILIES[family]
    model = make(config)
    monkeypatch.setattr(option_scores, "SCORING_TOKENS", memory)
    prompts = prompt_pass(model, PROMPTS)
    with torch.inference_mode():
        scores = continuation_scores(model, prompts, CONTINUATIONS)
        again = continuation_scores(model, prompts, CONTINUATIONS)
    check(model, scores, [whole_scores(model, *each) for each in zip(PROMPTS, CONTINUATIONS, strict=True)])
    assert scores == again  # the prompts' cache is left as it was
    assert option_scores.takes_trees(model, 30) is as_tree


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_continuations_attend_to_the_images_of_their_prompt(fusion: str) -> None:
    base = make(LlamaConfig(**SHAPE))
    torch.manual_seed(1)
    model = CaslieForCausalLM.from_base(
        base,
        fusion=fusion,
        vision_width=12,
        vision_patches=5,
        latents=3,
        **({"adapter_every": 2, "gate_init": 1.0} if fusion == "xattn" else {}),
    ).eval()
    for adapter in model.adapters.values():
        torch.nn.init.normal_(adapter.output.weight, std=0.1)
    images = torch.randn(3, 5, 12)
    guides = torch.full((3, 1), 5)

    def inputs(rows: list[int], counts: list[int], lengths: list[int], width: int) -> dict[str, Any]:
        """Return images of samples; with concat the visual tokens are first in the prompt."""
        shown = {"image_features": images[rows], "image_counts": torch.tensor(counts)}
        shown |= {"guide_ids": guides[rows], "guide_mask": torch.ones_like(guides[rows])}
        if fusion == "concat":
            per_image = model.config.tokens_per_image
            slots = torch.full((len(counts), width), -1)
            for row, (count, length) in enumerate(zip(counts, lengths, strict=True)):
                slots[row, width - length :][: count * per_image] = torch.arange(count * per_image)
            shown["token_slots"] = slots
        return shown

    prompts = [[*range(1, 12)], [*range(20, 28)], [*range(30, 35)]]
    lengths = [len(each) for each in prompts]
    batch = inputs([0, 1, 2], [2, 1, 0], lengths, 11)
    whole = []
    for prompt, answers, rows in zip(prompts, CONTINUATIONS, ([0, 1], [2], []), strict=True):
        scores = {}
        for label, tokens in answers.items():
            length = len(prompt) + len(tokens)
            alone = inputs(rows, [len(rows)], [length], length)
            scores |= whole_scores(model, prompt, {label: tokens}, **alone)
        whole.append(scores)
    with torch.inference_mode():
        scores = continuation_scores(model, prompt_pass(model, prompts, **batch), CONTINUATIONS)
    check(model, scores, whole)
    assert option_scores.takes_trees(model, 30)


def test_a_cache_with_an_index_of_its_keys_is_not_shared() -> None:
    config = DeepseekV32Config(
        **SHAPE | {"num_key_value_heads": 4},
        **LATENT,
        index_topk=8,
        index_n_heads=2,
        index_head_dim=8,
    )
    assert not option_scores.shares_prompts(make(config))
    assert option_scores.shares_prompts(make(LlamaConfig(**SHAPE)))


def test_shared_starts_are_fed_once() -> None:
    [row] = option_scores._rows(
        [(0, label, tokens) for label, tokens in CONTINUATIONS[0].items()], as_trees=True
    )
    assert row.tokens == [41, 42, 43, 44, 45, 46]
    assert row.parents == [-1, 0, 1, 1, 3, -1]
    assert row.depths == [0, 1, 2, 2, 3, 0]
