"""Questions with more options than one question can have: asked in rounds, group by group, until one option is left.

A question with 300 options fits neither the letters nor the prompt that a model was trained with. So its options are
asked in groups of that size, the winners against each other, and so on. Each question is like those of the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from caslie_model.data.images import SampleImage
from caslie_model.data.own_samples import Input, own_sample
from caslie_model.data.samples import Sample
from caslie_model.inference.questions import Question
from mmecinstruct.tasks.task import AnyTask

# The record of each question by the id of its sample.
Records = Mapping[str, Mapping[str, Any]]
# In a record: why the question could not be asked.
DOES_NOT_FIT = "does_not_fit"


@dataclass(frozen=True, slots=True)
class OwnQuestion:
    """What a person asks about a product.

    Attributes:
        task: The task.
        content: The input.
        options: The words of any number of options; none for yes/no.
        images: Its images.
    """

    task: AnyTask
    content: Input
    options: tuple[str, ...] = ()
    images: tuple[SampleImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        answer: Its words, or yes or no. None: the model's text is none of the allowed answers, or not finite.
        label: Its letter among `options`, or yes or no.
        options: The words by letter that the model was asked to choose from last; none for yes/no.
        probability: Its share of the probability of all allowed answers; None for a generated answer.
        scores: Log-likelihood of each allowed answer by its words; None for a generated answer.
        text: The model's text; None where likelihoods decide.
        questions: How many questions it took.
        reason: Why there is no answer, else empty.
    """

    answer: str | None
    label: str | None
    options: Mapping[str, str]
    probability: float | None
    scores: Mapping[str, float | None] | None
    text: str | None
    questions: int = 1
    reason: str = ""

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def questions_needed(options: int, at_once: int) -> int:
    """Return how many questions it takes to choose one of so many options."""
    if options <= at_once:
        return 1
    groups = math.ceil(options / at_once)
    return groups + questions_needed(groups, at_once)


def answer_in_rounds(
    questions: Sequence[OwnQuestion], at_once: int, ask: Callable[[Sequence[Question]], Records]
) -> list[Answer]:
    """Answer questions, those with many options in rounds.

    Args:
        questions: The questions.
        at_once: The most options of one question, 2 to 26.
        ask: Returns the records of the answers by sample id, for all that have one.

    Returns:
        An answer to each.
    """
    left = {number: question.options for number, question in enumerate(questions)}
    counts = dict.fromkeys(left, 0)
    answers: dict[int, Answer] = {}
    while left:
        groups = {
            number: [
                own_sample(questions[number].task, questions[number].content, group, questions[number].images)
                for group in _groups(options, at_once)
            ]
            for number, options in left.items()
        }
        asked = {
            sample.id: Question(sample, questions[number].images)
            for number, samples in groups.items()
            for sample in samples
        }
        records = ask(list(asked.values()))
        left = {}
        for number, samples in groups.items():
            counts[number] += len(samples)
            found = [_answer(sample, records.get(sample.id), counts[number]) for sample in samples]
            winners = [each for each in found if each.answer is not None]
            if len(winners) > 1:
                left[number] = tuple(each.answer or "" for each in winners)
            else:
                answers[number] = winners[0] if winners else found[-1]
    return [answers[number] for number in range(len(questions))]


def _groups(options: Sequence[str], at_once: int) -> list[tuple[str, ...]]:
    """Return options in as few groups as can be, of nearly the same size, in their order."""
    count = max(1, math.ceil(len(options) / at_once))
    ends = [len(options) * number // count for number in range(count + 1)]
    return [tuple(options[start:end]) for start, end in pairwise(ends)]


def _answer(sample: Sample, record: Mapping[str, Any] | None, questions: int) -> Answer:
    def words(label: str) -> str:
        return sample.options.get(label, label)

    if record is None:
        return Answer(
            None, None, sample.options, None, None, None, questions, "no_answer: the model gave none"
        )
    if DOES_NOT_FIT in record:
        reason = f"{DOES_NOT_FIT}: {record[DOES_NOT_FIT]}"
        return Answer(None, None, sample.options, None, None, None, questions, reason)
    label, text, scores = record["prediction"], record.get("text"), record.get("scores")
    if label is None or record.get("not_finite"):
        reason = (
            "not_finite: its scores are no finite numbers"
            if record.get("not_finite") or text is None
            else f"unparsable: the model wrote '{text[:200]}'"
        )
        return Answer(None, None, sample.options, None, None, text, questions, reason)
    named = None if scores is None else {words(each): value for each, value in scores.items()}
    share = None if scores is None else _share(label, scores)
    return Answer(words(label), label, sample.options, share, named, text, questions)


def _share(label: str, scores: Mapping[str, float | None]) -> float | None:
    known = [value for value in scores.values() if value is not None]
    own = scores.get(label)
    if own is None or len(known) < len(scores):
        return None
    best = max(known)
    return math.exp(own - best) / sum(math.exp(value - best) for value in known)
