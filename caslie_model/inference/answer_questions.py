"""The loop: which questions are not answered yet, asking them, and writing the answers as they come.

`append_answers` takes records of any kind. All other functions are of questions about samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.errors import RunError
from caslie_model.inference.prediction_log import PredictionFile, add_cost_of_failed, cost_of_failed
from caslie_model.inference.questions import Prediction, Predictor, Prepared
from caslie_model.inference.select_samples import target_fingerprint
from caslie_model.inference.server import ServerPredictor
from caslie_model.runtime.progress import Progress


def append_answers(
    file: PredictionFile,
    groups: Iterable[Sequence[Mapping[str, Any]]],
    total: int,
    unit: str = "questions",
    title: str = "predicting",
) -> int:
    """Append groups of records as they come, with progress on stderr.

    Args:
        file: Where they are written; each group at once.
        groups: Records with `id` and `variant`.
        total: How many are expected.
        unit: What is counted.
        title: Name of the work.

    Returns:
        How many came.

    Raises:
        RunError: If the disk takes no more.
    """
    done = 0
    with Progress(title, total, unit) as progress:
        for group in groups:
            file.append(group)
            done += len(group)
            progress.update(done)
    return done


@contextmanager
def money_kept(predictor: Predictor, file: PredictionFile) -> Iterator[None]:
    """Tell a predictor with a budget what earlier runs spent, and keep what its requests without an answer cost.

    Args:
        predictor: Any predictor.
        file: Its answers.

    Yields:
        Nothing; meanwhile it answers.
    """
    if not isinstance(predictor, ServerPredictor):
        yield
        return
    folder = file.path.parent
    predictor.resume([*file.records.values(), {"usage": {"cost_of_failed": cost_of_failed(folder)}}])
    try:
        yield
    finally:
        add_cost_of_failed(folder, predictor.unrecorded_cost)


def check_answered(
    prepared: Sequence[Prepared], published: Mapping[str, Sample], file: PredictionFile
) -> None:
    """Check that earlier answers are of the same questions, and drop those that are no allowed answer.

    Args:
        prepared: All questions of the run.
        published: The samples by id.
        file: The earlier answers.

    Raises:
        RunError: If an answer is to another prompt, or of a sample with another right answer.
    """
    strange = set()
    for each in prepared:
        record = file.records.get(each.question.key)
        if record is None:
            continue
        sample = published[each.question.sample.id]
        if record.get("prompt") != each.fingerprint or record.get("target") not in (
            None,
            target_fingerprint(sample),
        ):
            variant = f" ({each.question.variant})" if each.question.variant else ""
            raise RunError(
                f"{file.path.parent} answers another prompt for sample {sample.id}{variant}: the dataset changed, its "
                "captions, the seed, or the token that ends an answer; give another folder, or --overwrite"
            )
        labels = {
            label for label in (record["prediction"], *(record.get("scores") or ())) if label is not None
        }
        if not labels <= set(sample.labels):
            strange.add(each.question.key)
    if strange:
        file.drop(strange)


def longest_first(prepared: Iterable[Prepared]) -> list[Prepared]:
    """Return questions in the order in which they are asked: running out of memory happens at once, not at the end."""
    return sorted(prepared, key=lambda each: (-each.length, *each.question.key))


def record_of(prepared: Prepared, prediction: Prediction, published: Sample) -> dict[str, Any]:
    """Return the line of a prediction: labels are those of the published sample, whatever order was asked.

    Args:
        prepared: The question as it was asked.
        prediction: The answer.
        published: The sample as published.

    Returns:
        The fields of the line, by name.
    """
    question = prepared.question
    names = dict(question.published)
    record: dict[str, Any] = {
        "id": published.id,
        "variant": question.variant,
        "task": published.task,
        "split": published.split,
        "prompt": prepared.fingerprint,
        "target": target_fingerprint(published),
        "prediction": None if prediction.label is None else names.get(prediction.label, prediction.label),
    }
    if names:
        record |= {"asked": prediction.label, "order": "".join(names.values())}
    if prediction.text is not None:
        record["text"] = prediction.text
    if prediction.scores is not None:
        record["scores"] = {
            names.get(label, label): None if value is None else round(value, 4)
            for label, value in prediction.scores.items()
        }
    if prediction.tokens is not None:
        record["tokens"] = {names.get(label, label): count for label, count in prediction.tokens.items()}
    if not prediction.finite:
        record["not_finite"] = True
    if prediction.absent:
        record["absent"] = [names.get(label, label) for label in prediction.absent]
    if prediction.usage is not None:
        record["usage"] = dict(prediction.usage)
    return record
