"""Models with layers whose cache is a state, not keys and values: linear attention, Mamba, convolution, recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.adapters.loading import LoadedModel
from caslie_model.backbones.language_model import load_base_model
from caslie_model.data.samples import read_samples
from caslie_model.inference.predict import _generate, answer_scores
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.runtime.device import CPU

SHARED = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3_next": {
        "num_hidden_layers": 2,
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        **LINEAR,
        **EXPERTS,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "jamba": {
        "num_hidden_layers": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        **EXPERTS,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "lfm2": {
        "num_hidden_layers": 2,
        "layer_types": ["conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
    },
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "lru_width": 32,
        "head_dim": 8,
        "attention_window_size": 64,
    },
    "mamba": {"num_hidden_layers": 2, "state_size": 4},
    # Keys and values alone, some of them in a window.
    "gemma3_text": {
        "num_hidden_layers": 2,
        "head_dim": 8,
        "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, dataset: Path) -> tuple[LoadedModel, list[Encoded]]:
    from transformers import AutoConfig, AutoModelForCausalLM

    from caslie_model.prompts.templates import packaged_templates

    base = load_base_model("random:tiny")
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **{**SHARED, **FAMILIES[request.param]})
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config = base.model.generation_config
    # Little text around the input: these layers are slow on a CPU.
    prompt_format = PromptFormat(
        base.tokenizer, "{{ instruction }} {{ fields[0].texts[0] }}", packaged_templates()[1], "text", 2000
    )
    samples = read_samples(str(dataset), "sentiment_analysis", "test")[:3]
    samples += read_samples(str(dataset), "answerability_prediction", "test")[:1]
    encoded = [prompt_format.encode(sample) for sample in samples]
    assert len({len(each.prompt) for each in encoded}) > 1
    return LoadedModel(model, base.tokenizer, prompt_format, CPU), encoded


def logits(loaded: LoadedModel, tokens: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = loaded.model(torch.tensor([tokens]), use_cache=False).logits[0].float()
    return result


def test_scores_are_those_of_one_sequence_without_a_cache(family: tuple[LoadedModel, list[Encoded]]) -> None:
    loaded, encoded = family
    for sample, scores in zip(encoded, answer_scores(loaded, encoded), strict=True):
        assert list(scores) == list(sample.answers)
        for label, tokens in sample.answers.items():
            likelihoods = logits(loaded, (*sample.prompt, *tokens)).log_softmax(-1)
            start = len(sample.prompt) - 1
            expected = sum(float(likelihoods[start + i, token]) for i, token in enumerate(tokens))
            assert scores[label] == pytest.approx(expected, abs=1e-3)


def test_a_batch_generates_what_one_sequence_without_a_cache_does(
    family: tuple[LoadedModel, list[Encoded]],
) -> None:
    loaded, encoded = family
    for sample, (tokens, lead) in zip(encoded, _generate(loaded, encoded), strict=True):
        if lead > 1e-3:
            following = (
                logits(loaded, (*sample.prompt, *tokens)).argmax(-1)[len(sample.prompt) - 1 :].tolist()
            )
            assert tokens == following[: len(tokens)]
