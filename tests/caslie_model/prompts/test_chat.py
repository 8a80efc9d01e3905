"""Chat templates of several forms: which token ends an answer, in labels, in scores and in generation."""

from __future__ import annotations

import copy
import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.labels_and_padding import IGNORED, training_batch
from caslie_model.config.presets import evaluate_config, finetune_config
from caslie_model.data.samples import read_samples
from caslie_model.errors import ModelError
from caslie_model.inference.predict import _generate, answer_scores
from caslie_model.prompts import bounds
from caslie_model.prompts.bounds import within_bounds
from caslie_model.prompts.chat import end_token, user_turn
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.training.finetune import finetune

TURNS = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
MODEL_TURNS = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
TAGS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|finish|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
OPEN_ENDED = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
USERS_ONLY = (
    "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('users only') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)
USES_ALL = (
    "{% set n = namespace(x=dict(a=1)) %}{{ n.x | tojson }}{{ messages | tojson(indent=2) }}{% for m in messages %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}{{ tools }}{{ documents is none }}"
    "{% if no_such_thing %}x{% endif %}{{ unk_token }}\n"
)
FIRST_TURN = "{{ messages[0].content }}<|stop|>"
LOWER = "{% for m in messages %}{{ m.content | lower }}<|stop|>{% endfor %}"
CONTROL = ["<|start|>", "<|stop|>", "<|head|>", "<|/head|>", "<|eot|>", "<start_of_turn>", "<end_of_turn>"]
CONTROL += ["<|user|>", "<|assistant|>", "<|finish|>"]
FORMS = {
    "turns": (TURNS, "<|stop|>"),
    "headers": (HEADERS, "<|eot|>"),
    "model turns": (MODEL_TURNS, "<end_of_turn>"),
    "instructions": (INSTRUCTIONS, "<|end|>"),
    "tags": (TAGS, "<|finish|>"),
    "open-ended": (OPEN_ENDED, "<|end|>"),
    "users only": (USERS_ONLY, "<|end|>"),
    "the first turn only": (FIRST_TURN, "<|end|>"),
    "lower case": (LOWER, "<|end|>"),
    "none": (None, "<|end|>"),
}


def with_template(tokenizer: Any, template: str | None) -> Any:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": CONTROL})
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("form", FORMS)
def test_the_template_says_which_token_ends_an_answer(tokenizer: Any, form: str) -> None:
    template, end = FORMS[form]
    tokenizer = with_template(tokenizer, template)
    assert tokenizer.convert_ids_to_tokens(end_token(tokenizer)) == end


def test_a_template_that_knows_no_users_is_an_error(
    tokenizer: Any, prompt_format: PromptFormat, dataset: Path
) -> None:
    tokenizer = with_template(tokenizer, "{{ raise_exception('never') }}")
    sample = read_samples(str(dataset), "sentiment_analysis", "test")[0]
    with pytest.raises(ModelError, match="chat template cannot be filled: never"):
        PromptFormat(
            tokenizer, prompt_format.user_template, prompt_format.plain_template, "text", 2000
        ).render(sample)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("users only", "none")])
def test_a_template_is_filled_as_other_tools_fill_it(tokenizer: Any, form: str) -> None:
    for template in (FORMS[form][0], USES_ALL + str(FORMS[form][0])):
        tokenizer = with_template(tokenizer, template)
        turns = [{"role": "user", "content": "a <b> 'ü'"}]
        expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert user_turn(tokenizer, "a <b> 'ü'") == expected


HOSTILE = {
    "another error": "{{ 1 / 0 }}",
    "other types": "{{ messages + 1 }}",
    "a range too long": "{% for i in range(10 ** 12) %}x{% endfor %}",
    "no such file": "{% include 'x' %}",
    "a date of no form": "{{ strftime_now(3) }}",
    "itself for ever": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "text without end": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "loops without end": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a number without end": "{{ 10 ** (10 ** 9) }}",
    "a power of a power": "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a long text": "{{ 'x' * 10 ** 10 }}",
    "a long list": "{{ [1] * 10 ** 10 }}",
    "a wide text": "{{ '%99999999999d' % 1 }}",
    "a text that doubles": "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x+n.x %}{% endfor %}",
    "no template": "{% for %}",
}


@pytest.mark.parametrize("template", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_is_an_error_and_bounded(
    tokenizer: Any,
    prompt_format: PromptFormat,
    dataset: Path,
    template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(bounds, "MAX_CHARACTERS", 100_000)
    tokenizer = with_template(tokenizer, template)
    started = time.process_time()
    with pytest.raises(ModelError, match="chat template cannot be filled: "):
        user_turn(tokenizer, "x")
    assert tokenizer.convert_ids_to_tokens(end_token(tokenizer)) == "<|end|>"
    sample = read_samples(str(dataset), "sentiment_analysis", "test")[0]
    prompt = template.replace("messages", "fields")
    with pytest.raises(ModelError, match="the prompt template cannot be filled: "):
        replace(prompt_format, user_template=prompt).render(sample)
    assert time.process_time() - started < 2


def test_the_time_limit_leaves_the_timer_as_it_was() -> None:
    with within_bounds("it"):
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model whose template closes turns by another token than its tokenizer's end of a sequence."""
    folder = tmp_path_factory.mktemp("chatty")
    base = load_base_model("random:tiny")
    tokenizer = with_template(base.tokenizer, MODEL_TURNS)
    torch.manual_seed(0)
    base.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    base.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_end_of_a_turn_is_learnt_scored_and_a_stop(dataset: Path, chatty: Path, tmp_path: Path) -> None:
    settings = ("tasks=[ap]", "samples_per_task=4", "batch_size=4", "device=cpu", f"base_model={chatty}")
    out = finetune(finetune_config("tiny", settings, data=str(dataset), out=tmp_path / "a")).folder
    loaded = load_for_evaluation(
        evaluate_config(model=str(out), data=str(dataset), out="unused", device="cpu")
    )
    end = loaded.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    summary = json.loads((out / "training.json").read_text())
    assert summary.pop("end_token") == "<end_of_turn>"
    old = tmp_path / "old"
    shutil.copytree(out, old)
    (old / "training.json").write_text(json.dumps(summary))
    taught = load_for_evaluation(
        evaluate_config(model=str(old), data=str(dataset), out="unused", device="cpu")
    )
    assert taught.prompt_format.end == taught.tokenizer.eos_token_id
    [sample] = [
        loaded.prompt_format.encode(each)
        for each in read_samples(str(dataset), "answerability_prediction", "test")[:1]
    ]
    labels = training_batch([sample], 0)["labels"][0]
    assert labels[labels != IGNORED].tolist() == list(sample.target)
    assert sample.target[-1] == end != loaded.tokenizer.eos_token_id
    # Scored: a model sure of the end of a turn gives each answer the likelihood of its words.
    head = loaded.model.get_output_embeddings().weight.data
    [before] = answer_scores(loaded, [sample])
    with torch.inference_mode():
        logits = (
            loaded.model(torch.tensor([[*sample.prompt, *sample.answers["no"]]])).logits[0].log_softmax(-1)
        )
    start = len(sample.prompt) - 1
    expected = sum(float(logits[start + i, token]) for i, token in enumerate(sample.answers["no"]))
    assert before["no"] == pytest.approx(expected, abs=1e-3)
    # A stop: a model that says nothing else stops at once.
    assert end in loaded.model.generation_config.eos_token_id
    states: list[torch.Tensor] = []
    hook = loaded.model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: states.append(inputs[0][0, -1])
    )
    with torch.inference_mode():
        loaded.model(torch.tensor([sample.prompt]))
    hook.remove()
    head.zero_()
    head[end] = states[0]
    [(tokens, _)] = _generate(loaded, [sample])
    assert tokens == []


def test_answers_with_control_tokens_are_read_as_they_were_taught(
    tokenizer: Any,
    prompt_format: PromptFormat,
    row: Callable[..., dict[str, Any]],
    write_rows: Any,
    tmp_path: Path,
) -> None:
    from caslie_model.adapters.loading import LoadedModel
    from caslie_model.inference.predict import _generated_prediction
    from caslie_model.runtime.device import CPU

    options = [
        "A: plain <|end|> mug",
        "B: plain mug",
        "C: \uf8f0mug <|end|>",
        "D: ***",
        "E: plain <|end|>mug",
    ]
    data = write_rows(tmp_path, [row(0, "sentiment_analysis", "test", options=options, output="A")])
    [sample] = read_samples(str(data), "sentiment_analysis", "test")
    encoded = prompt_format.encode(sample)
    loaded = LoadedModel(None, tokenizer, prompt_format, CPU)
    for label, tokens in encoded.answers.items():
        assert _generated_prediction(loaded, encoded, tokens[:-1], False, True).label == label
