"""A baseline as a predictor: fitted to each task that is asked, when it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from caslie_model.baselines.baseline import Baseline, FitData
from caslie_model.baselines.known import known_baseline
from caslie_model.config.evaluation import OF_BASELINES, PredictConfig
from caslie_model.config.training import VisionSettings
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError
from caslie_model.inference.open_predictor import OpenPredictor, open_predictor
from caslie_model.inference.questions import Prediction, Prepared, Question
from caslie_model.inference.select_samples import target_fingerprint
from caslie_model.runtime.console import say
from caslie_model.runtime.device import CPU, choose_device
from caslie_model.vision.encoder import load_vision_encoder
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.tasks import TASKS


@dataclass(frozen=True, slots=True)
class PlainQuestion:
    """A question as it is.

    Attributes:
        question: The question.
        fingerprint: Of its input, options and images.
    """

    question: Question
    fingerprint: str

    @property
    def length(self) -> int:
        """Nothing is long for a baseline."""
        return 0

    @property
    def shortened(self) -> bool:
        """Nothing is shortened."""
        return False


class BaselinePredictor:
    """Answers by the most probable label.

    Args:
        baseline: The baseline.
        config: Dataset and seed.
        fitted_to: Samples of train and validation by task.
        images: Images of these and of the asked samples, for a baseline that reads them.
    """

    def __init__(
        self,
        baseline: Baseline,
        config: PredictConfig,
        fitted_to: Mapping[str, tuple[Sequence[Sample], Sequence[Sample]]],
        images: SpooledImages | None,
    ) -> None:
        self._baseline, self._config, self._fitted_to, self._images = baseline, config, fitted_to, images
        self._vision = VisionSettings(encoder=config.baseline_encoder) if baseline.reads_images else None
        self._device = choose_device(config.device, config.precision) if baseline.reads_images else CPU

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Name and version of the baseline, its seed, and a fingerprint of what it is fitted to."""
        content = {
            task: fingerprint([[each.id, target_fingerprint(each)] for part in parts for each in part])[:16]
            for task, parts in self._fitted_to.items()
        }
        return {
            "kind": "baseline",
            "baseline": self._baseline.name,
            "version": self._baseline.version,
            "seed": self._config.seed,
            "answers": self._config.answers or "text",
            "fitted_to": content,
            **self._encoder(),
        }

    def _encoder(self) -> dict[str, str]:
        if self._vision is None:
            return {}
        encoder = load_vision_encoder(
            self._vision.encoder, self._device, self._vision.pool, self._vision.layer
        )
        return {"vision_encoder": encoder.name, "vision_fingerprint": encoder.fingerprint}

    def prepare(self, questions: Sequence[Question]) -> list[PlainQuestion]:
        """Return questions as they are."""
        return [
            PlainQuestion(
                question,
                fingerprint(
                    [
                        [[field.name, list(field.texts)] for field in question.sample.fields],
                        list(question.sample.options.items()),
                        [[image.role, image.key] for image in question.images],
                    ]
                )[:16],
            )
            for question in questions
        ]

    def answer(self, prepared: Sequence[Prepared]) -> Iterator[Sequence[tuple[Prepared, Prediction]]]:
        """Yield the answers of one task after the other.

        Raises:
            DatasetError: If a task has no training samples.
        """
        by_task: dict[str, list[Prepared]] = {}
        for each in prepared:
            by_task.setdefault(each.question.sample.task, []).append(each)
        for task, asked in by_task.items():
            train, validation = self._fitted_to[task]
            if not train:
                raise DatasetError(
                    f"{self._config.data} has no training samples of {task} to fit a baseline to"
                )
            say(f"{self._baseline.name}: fitted to {len(train)} samples of {task}")
            scorer = self._baseline.fit(
                FitData(task, train, validation, self._config.seed, self._images, self._vision, self._device)
            )
            for variant in dict.fromkeys(each.question.variant for each in asked):
                group = [each for each in asked if each.question.variant == variant]
                with self._shown(group):
                    scores = scorer([each.question.sample for each in group])
                yield [
                    (each, _prediction(each.question.sample, found))
                    for each, found in zip(group, scores, strict=True)
                ]

    @contextmanager
    def _shown(self, asked: Sequence[Prepared]) -> Iterator[None]:
        """Let samples have the images that questions show: none, others' ones, or options in another order."""
        if self._images is None:
            yield
            return
        own = self._images.images
        self._images.images = {**own, **{each.question.sample.id: each.question.images for each in asked}}
        try:
            yield
        finally:
            self._images.images = own

    def close(self) -> None:
        """Hold nothing but memory."""


@contextmanager
def open_any_model(config: PredictConfig, samples: Sequence[Sample]) -> Iterator[OpenPredictor]:
    """Open the model that the settings name, `baseline:NAME` included; see `open_predictor`.

    Args:
        config: The settings.
        samples: All samples whose images may be shown.

    Yields:
        The predictor and the images.

    Raises:
        MmecError: If model or data do not allow it; the message has the remedy.
    """
    if not config.model.startswith(OF_BASELINES):
        with open_predictor(config, samples) as opened:
            yield opened
        return
    baseline = known_baseline(config.model)
    tasks = list(dict.fromkeys(sample.task for sample in samples))
    others = [task for task in tasks if baseline.tasks and TASKS[task].short_name not in baseline.tasks]
    if others:
        raise ConfigError(
            f"{config.model} answers {', '.join(baseline.tasks)} alone, not {', '.join(others)}: give --tasks"
        )
    if config.shots:
        raise ConfigError(f"shots={config.shots}: a baseline takes no demonstrations")
    fitted_to = {
        task: (read_samples(config.data, task, "train"), read_samples(config.data, task, "validation"))
        for task in tasks
    }
    with ExitStack() as stack:
        images = None
        if baseline.reads_images:
            shown = {
                sample.id: sample
                for sample in (
                    *samples,
                    *(each for parts in fitted_to.values() for part in parts for each in part),
                )
            }
            images = stack.enter_context(spool_images(config.data, list(shown.values())))
        predictor = BaselinePredictor(baseline, config, fitted_to, images)
        yield OpenPredictor(predictor, None if images is None else images.images)


def _prediction(sample: Sample, scores: Mapping[str, float]) -> Prediction:
    best = max(sample.labels, key=lambda label: scores[label])
    return Prediction(best, None, dict[str, float | None](scores), tokens=dict.fromkeys(scores, 1))
