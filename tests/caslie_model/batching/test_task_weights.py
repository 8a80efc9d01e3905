from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.task_weights import mixed
from caslie_model.config.presets import finetune_config
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates

AP, SA = "answerability_prediction", "sentiment_analysis"


@pytest.fixture(scope="module")
def encoded(dataset: Path) -> list[Encoded]:
    """40 samples of each of two tasks."""
    prompts = PromptFormat(load_base_model("random:tiny").tokenizer, *packaged_templates(), "text", 4096)
    return [prompts.encode(each) for task in (AP, SA) for each in read_samples(str(dataset), task, "train")]


def counts(samples: list[Encoded], task: str) -> Counter[str]:
    return Counter(each.sample.id for each in samples if each.sample.task == task)


def test_whole_weights_repeat_each_sample(encoded: list[Encoded]) -> None:
    found = mixed(encoded, {SA: 3.0}, 0)
    assert set(counts(found, SA).values()) == {3}
    assert set(counts(found, AP).values()) == {1}
    assert mixed(encoded, {}, 0) == encoded


def test_fractional_weights_repeat_some_samples_by_hash(encoded: list[Encoded]) -> None:
    half = counts(mixed(encoded, {SA: 0.5}, 0), SA)
    assert 10 <= len(half) <= 30
    assert set(half.values()) == {1}
    more = counts(mixed(encoded, {SA: 2.5}, 0), SA)
    assert {name for name, count in more.items() if count == 3} == set(half)
    assert set(more.values()) == {2, 3}
    assert counts(mixed(encoded, {SA: 0.5}, 1), SA) != half


def test_a_larger_weight_removes_no_sample(
    encoded: list[Encoded],
) -> None:
    half = counts(mixed(encoded, {SA: 0.5}, 0), SA)
    assert counts(mixed(encoded[::-1][:20], {SA: 0.5}, 0), SA) == {
        name: count for name, count in half.items() if name in {e.sample.id for e in encoded[::-1][:20]}
    }
    assert set(half) < set(counts(mixed(encoded, {SA: 0.8}, 0), SA))


def test_a_task_without_samples_left_is_named(encoded: list[Encoded]) -> None:
    with pytest.raises(ConfigError, match=r"task_weights \{sentiment_analysis: 1e-09\} leave no sample"):
        mixed(encoded, {SA: 1e-9}, 0)


def test_weights_name_tasks_and_are_positive() -> None:
    config = finetune_config("tiny", ["task_weights={sa: 2}"], data="d", out="o")
    assert config.task_weights == {SA: 2.0}
    with pytest.raises(ConfigError, match="no such task: xy"):
        finetune_config("tiny", ["task_weights={xy: 2}"], data="d", out="o")
    with pytest.raises(ConfigError, match="a weight is more than 0"):
        finetune_config("tiny", ["task_weights={sa: 0}"], data="d", out="o")
