"""What all prompts of a batch start with is computed once, and changes no answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    MptConfig,
)

from caslie_model.adapters.loading import LoadedModel
from caslie_model.backbones.language_model import load_base_model
from caslie_model.data.samples import read_samples
from caslie_model.inference.predict import TIE_TOLERANCE, _generate, answer_scores
from caslie_model.inference.shared_start import Starts, next_logits, prompt_cache
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.device import CPU

IDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
SHAPE: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    **IDS,
}
# A model, and whether its prompts share their start.
FAMILIES: dict[str, tuple[Any, bool]] = {
    "llama": (LlamaConfig(**SHAPE), True),
    "learnt positions": (
        GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2, **IDS),
        True,
    ),
    "a wide window": (MistralConfig(**SHAPE, sliding_window=4096), True),
    "a narrow window": (Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=32), False),
    "positions by index": (
        MptConfig(vocab_size=257, d_model=32, n_heads=4, n_layers=2, initializer_range=0.2, **IDS),
        False,
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, dataset: Path) -> tuple[LoadedModel, list[Encoded], bool]:
    base = load_base_model("random:tiny")
    config, is_shared = FAMILIES[request.param]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config = base.model.generation_config
    prompt_format = PromptFormat(
        base.tokenizer, "{{ instruction }} {{ fields[0].texts[0] }}", packaged_templates()[1], "text", 900
    )
    samples = read_samples(str(dataset), "sentiment_analysis", "test")[:5]
    return (
        LoadedModel(model, base.tokenizer, prompt_format, CPU),
        [prompt_format.encode(sample) for sample in samples],
        is_shared,
    )


def test_a_batch_scores_and_generates_what_single_samples_do(
    family: tuple[LoadedModel, list[Encoded], bool],
) -> None:
    loaded, encoded, is_shared = family
    assert len({len(each.prompt) for each in encoded}) > 1
    with torch.inference_mode():
        cache = prompt_cache(loaded.model, [each.prompt for each in encoded], 1)
    assert (cache is not None) is is_shared
    for sample, scores in zip(encoded, answer_scores(loaded, encoded), strict=True):
        [own] = answer_scores(loaded, [sample])
        assert scores == pytest.approx(own, abs=1e-4)
    for sample, (tokens, lead) in zip(encoded, _generate(loaded, encoded), strict=True):
        [(own_tokens, own_lead)] = _generate(loaded, [sample])
        if lead > TIE_TOLERANCE["float32"]:
            assert tokens == own_tokens
            assert lead == pytest.approx(own_lead, abs=1e-4)


def fed(loaded: LoadedModel, prompts: list[tuple[int, ...]]) -> list[int]:
    """Return the lengths of the rows that are computed for the prompts of a batch, but for their last tokens."""
    lengths = []
    handle = loaded.model.register_forward_pre_hook(
        lambda _, args, given: lengths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        with torch.inference_mode():
            prompt_cache(loaded.model, prompts, 1)
    finally:
        handle.remove()
    return lengths


def test_a_start_that_some_prompts_share_is_computed_once(
    family: tuple[LoadedModel, list[Encoded], bool],
) -> None:
    loaded, encoded, is_shared = family
    prompt = encoded[0].prompt
    other = encoded[1].prompt[::-1]
    fed(loaded, [prompt, prompt])  # tries whether the model takes trees
    for prompts, length in (
        ([prompt, prompt], len(prompt) - 1),
        ([prompt, (*prompt[:-4], 1, 2, 3, 4, 5)], len(prompt) + 3),
        ([other, prompt, (*other[:-1], 1, 2), prompt[:9]], len(prompt) + len(other) - 1),
    ):
        assert sum(fed(loaded, prompts)) == (length if is_shared else 0)
    assert fed(loaded, [prompt]) == []


def test_a_row_of_packed_prompts_has_a_limit(
    family: tuple[LoadedModel, list[Encoded], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, encoded, is_shared = family
    monkeypatch.setattr("caslie_model.inference.shared_start.PACKED_TOKENS", 8)
    prompts = [(number, *each.prompt) for number, each in enumerate(encoded)]
    assert fed(loaded, prompts) == ([len(each) - 1 for each in prompts] if is_shared else [])
    # Those that share half of their tokens are in a row of twice the longest.
    half = len(prompts[0]) // 2 + 1
    alike = [(*prompts[0][:half], number, *prompts[0][half:]) for number in range(5)]
    lengths = fed(loaded, [*alike, prompts[1]])
    assert (1 < len(lengths) < 6) is is_shared
    assert max(lengths, default=0) <= 2 * len(alike[0])
    own = replace(encoded[0], prompt=prompts[0])
    packed = [replace(each, prompt=prompt) for each, prompt in zip(encoded, prompts, strict=True)]
    assert answer_scores(loaded, packed)[0] == pytest.approx(answer_scores(loaded, [own])[0], abs=1e-4)


def test_what_batches_start_with_is_computed_once_for_all_of_them(
    family: tuple[LoadedModel, list[Encoded], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, encoded, is_shared = family
    monkeypatch.setattr("caslie_model.inference.shared_start.LEAST_START", 2)
    [one, *_] = (each.prompt for each in encoded)
    batches = [[(*one, 5 + i, 3 + i, 8 - i, 6)[first:] for i in range(4)] for first in (0, 0, 1)]
    starts = Starts()
    for prompts, start in zip(batches, (len(one), 0, len(one) - 1), strict=True):
        lengths: list[int] = []
        handle = loaded.model.register_forward_pre_hook(
            lambda _, args, given, lengths=lengths: lengths.append(given["input_ids"].shape[1]),
            with_kwargs=True,
        )
        with torch.inference_mode():
            logits = next_logits(loaded.model, prompts, starts)
            handle.remove()
            assert (logits is not None) is is_shared
            if logits is None:
                continue
            assert lengths[-2:] == ([start] if start else []) + [16]
            for prompt, own in zip(prompts, logits, strict=True):
                alone = loaded.model(torch.tensor([prompt])).logits[0, -1]
                assert torch.allclose(own, alone, atol=1e-4)


def test_answers_that_reach_beyond_a_window_follow_no_shared_start(dataset: Path) -> None:
    base = load_base_model("random:tiny")
    prompt_format = PromptFormat(
        base.tokenizer, "{{ instruction }} {{ fields[0].texts[0] }}", packaged_templates()[1], "text", 900
    )
    samples = read_samples(str(dataset), "sentiment_analysis", "test")[:5]
    encoded = [prompt_format.encode(sample) for sample in samples]
    longest = max(len(each.prompt) for each in encoded)
    assert min(each.answer_room for each in encoded) > 4
    torch.manual_seed(0)
    config = Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=longest + 2)
    loaded = LoadedModel(AutoModelForCausalLM.from_config(config).eval(), base.tokenizer, prompt_format, CPU)
    for sample, scores in zip(encoded, answer_scores(loaded, encoded), strict=True):
        [own] = answer_scores(loaded, [sample])
        assert scores == pytest.approx(own, abs=1e-4)
