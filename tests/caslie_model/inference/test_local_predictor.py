"""Which questions make a batch: it shares what its prompts start with, and that changes no answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caslie_model.adapters.loading import load_for_evaluation
from caslie_model.config.presets import evaluate_config
from caslie_model.data.samples import read_samples
from caslie_model.inference.local_predictor import LocalPredictor, PromptInTokens, question_batches
from caslie_model.inference.questions import Question

TASKS = ("answerability_prediction", "sentiment_analysis", "product_substitute_identification")
SIZE = 4


def predictor_of(dataset: Path, batch_size: int) -> LocalPredictor:
    config = evaluate_config(
        model="random:tiny",
        data=str(dataset),
        out="unused",
        base_only=True,
        device="cpu",
        scoring="generate",
        batch_size=batch_size,
    )
    return LocalPredictor(load_for_evaluation(config), config)


@pytest.fixture(scope="module")
def predictor(dataset: Path) -> LocalPredictor:
    return predictor_of(dataset, SIZE)


@pytest.fixture(scope="module")
def prepared(predictor: LocalPredictor, dataset: Path) -> list[PromptInTokens]:
    samples = [sample for task in TASKS for sample in read_samples(str(dataset), task, "test")[:10]]
    return list(predictor.prepare([Question(sample) for sample in samples]))


def test_a_batch_has_an_instruction_in_common(predictor: LocalPredictor, dataset: Path) -> None:
    samples = read_samples(str(dataset), "sentiment_analysis", "train")[: 3 * SIZE]
    asked = [
        Question(replace(sample, instruction=f"Instruction {number % 3}: how satisfied is the customer?"))
        for number, sample in enumerate(samples)
    ]
    batches = list(question_batches(predictor.prepare(asked), SIZE))
    assert [len(batch) for batch in batches] == [SIZE] * 3
    assert all(len({each.question.sample.instruction for each in batch}) == 1 for batch in batches)
    assert {each.question.key for batch in batches for each in batch} == {each.key for each in asked}


@pytest.mark.parametrize("window", [1, 2, 16])
def test_the_batch_that_takes_most_memory_is_first(
    prepared: list[PromptInTokens], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr("caslie_model.inference.shared_start.ALIKE", window)
    for count in (2, 9, len(prepared)):
        chosen = prepared[:count]
        sizes = [len(batch) * max(each.length for each in batch) for batch in question_batches(chosen, SIZE)]
        assert sizes[0] == max(sizes)
        if count % SIZE == 0 or count < SIZE:
            assert sizes[0] == min(count, SIZE) * max(each.length for each in chosen)


def test_batches_do_not_depend_on_the_order_of_questions(prepared: list[PromptInTokens]) -> None:
    batches = [[each.question.key for each in batch] for batch in question_batches(prepared, SIZE)]
    assert [
        [each.question.key for each in batch] for batch in question_batches(prepared[::-1], SIZE)
    ] == batches


def test_an_answer_is_the_same_whatever_makes_a_batch(
    predictor: LocalPredictor, prepared: list[PromptInTokens], dataset: Path
) -> None:
    def answers(asking: LocalPredictor, asked: list[PromptInTokens]) -> dict[tuple[str, str], str | None]:
        return {
            each.question.key: prediction.text for batch in asking.answer(asked) for each, prediction in batch
        }

    together = answers(predictor, prepared)
    assert set(together) == {each.question.key for each in prepared}
    assert len(set(together.values())) > 3
    # Resumed after some were answered, and one at a time.
    assert answers(predictor, prepared[::3]).items() <= together.items()
    assert answers(predictor_of(dataset, 1), prepared[::4]).items() <= together.items()
