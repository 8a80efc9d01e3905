"""End a training when its validation figure no longer improves, and restore its best weights.

Everything that decides is in the Trainer's log, which its checkpoints hold: a resumed run stops where an uninterrupted
one does. The weights of the best validation are saved beside the checkpoints, named by their step. Older ones are
deleted once a checkpoint is written whose log has the newer one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caslie_model.adapters.loading import LoadedModel
from caslie_model.config.training import EarlyStopSettings
from caslie_model.data.images import Features
from caslie_model.errors import RunError
from caslie_model.evaluation.metrics import confusion, primary
from caslie_model.inference.predict import answer_scores, predict_batch
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.runtime.device import Device
from mmecinstruct.core.files import write_atomically
from mmecinstruct.tasks import TASKS

Log = Sequence[Mapping[str, Any]]
"""The Trainer's log: one mapping of figures by name per entry."""

# The Trainer's own prefix, by which trackers tell validation from training.
_LOGGED_AS = "eval_"


@dataclass(frozen=True, slots=True)
class BestValidation:
    """The best validation of a log.

    Attributes:
        step: The training step after which it was measured.
        figure: Loss per answer token, or score.
        waited: How many validations without improvement came after it.
    """

    step: int
    figure: float
    waited: int


@dataclass(frozen=True)
class EarlyStop:
    """How a training is validated, and where the weights of its best step are kept.

    Attributes:
        settings: Metric, interval and patience.
        encoded: Samples of the validation split, in tokens.
        prompt_format: How they became tokens, with the tokenizer.
        folder: The folder of checkpoints, which also holds the best weights.
        batch_size: Samples in one forward pass.
        device: Where the model is measured.
        features: Features of images by their keys, for a fusion model.
    """

    settings: EarlyStopSettings
    encoded: Sequence[Encoded]
    prompt_format: PromptFormat
    folder: Path
    batch_size: int
    device: Device
    features: Features | None = None

    @property
    def logged_as(self) -> str:
        """Name of the figure in the Trainer's log."""
        return _LOGGED_AS + self.settings.metric

    def measure(self, model: Any) -> float:
        """Measure a model in training, and leave it in the mode it was in.

        No random number is used, so a training that is measured learns the same.

        Args:
            model: The model that is trained.

        Returns:
            The mean loss per answer token, or the score.
        """
        loaded = LoadedModel(model, self.prompt_format.tokenizer, self.prompt_format, self.device)
        # Longest first, as in an evaluation: running out of memory happens at once.
        ordered = sorted(self.encoded, key=lambda each: (-len(each.prompt), each.sample.id))
        batches = [
            ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)
        ]
        was_training = model.training
        model.eval()
        try:
            # Trained tensors are float32 beside a base model in bfloat16, as in the steps between.
            with self.device.autocast():
                if self.settings.metric == "loss":
                    return _loss(loaded, batches, self.features)
                return _score(loaded, batches, self.features)
        finally:
            model.train(was_training)

    def evaluations(self, log: Log) -> list[tuple[int, float]]:
        """Return step and figure of each validation in a Trainer's log."""
        return [(int(entry["step"]), entry[self.logged_as]) for entry in log if self.logged_as in entry]

    def best(self, log: Log) -> BestValidation | None:
        """Return the best validation of a log, the first of equal ones; None without any that is a finite number."""
        best: BestValidation | None = None
        for step, figure in self.evaluations(log):
            if math.isfinite(figure) and (best is None or self._worth(figure) > self._worth(best.figure)):
                best = BestValidation(step, figure, 0)
            elif best is not None:
                best = replace(best, waited=best.waited + 1)
        return best

    def is_over(self, log: Log) -> bool:
        """Return whether the figure has not improved for as many validations as the settings allow."""
        best = self.best(log)
        return best is not None and best.waited >= self.settings.patience

    def keep(self, model: Any, log: Log) -> None:
        """Write the trained weights of a model if the last validation of its log is the best."""
        from safetensors.torch import save

        best = self.best(log)
        if best is None or best.waited:
            return
        tensors = {
            name: weight.detach().cpu().contiguous()
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }
        write_atomically(self._file(best.step), save(tensors))

    def forget(self, log: Log) -> None:
        """Delete kept weights that are no longer the best, when a checkpoint with this log has been written."""
        best = self.best(log)
        for path in self.folder.glob(self._file("*").name):
            if best is not None and path != self._file(best.step):
                path.unlink(missing_ok=True)

    def restore(self, model: Any, log: Log) -> None:
        """Give a model its weights of the best validation.

        Args:
            model: The model that was trained, changed in place.
            log: The Trainer's log of the training.

        Raises:
            RunError: If the kept weights are missing or damaged.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        best = self.best(log)
        if best is None:
            return
        file = self._file(best.step)
        weights = dict(model.named_parameters())
        try:
            kept = load_file(file)
            with torch.no_grad():
                for name, tensor in kept.items():
                    weights[name].copy_(tensor)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise RunError(
                f"the best weights {file} cannot be read: {error}; start again with --overwrite"
            ) from error

    def summary(self, log: Log, stopped: bool) -> dict[str, Any]:
        """Return the entry `early_stop` of training.json.

        Args:
            log: The Trainer's log of the training.
            stopped: Whether it ended before all batches were trained on.

        Returns:
            Metric, number of samples, the best step and figure, and every validation.
        """
        best = self.best(log)
        return {
            "metric": self.settings.metric,
            "samples": len(self.encoded),
            "stopped": stopped,
            "best_step": best.step if best else None,
            "best": best.figure if best else None,
            "evaluations": [
                {"step": step, self.settings.metric: figure} for step, figure in self.evaluations(log)
            ],
        }

    def _worth(self, figure: float) -> float:
        return -figure if self.settings.metric == "loss" else figure

    def _file(self, step: int | str) -> Path:
        return self.folder / f"best-{step}.safetensors"


def _loss(loaded: LoadedModel, batches: Sequence[Sequence[Encoded]], features: Features | None) -> float:
    """Return the mean negative log-likelihood of the right answers' tokens, as the training's loss is."""
    total, count = 0.0, 0
    for batch in batches:
        right = [replace(each, answers={each.sample.output: each.target}) for each in batch]
        scores = answer_scores(loaded, right, features=features)
        total -= sum(score for each in scores for score in each.values())
        count += sum(len(each.target) for each in batch)
    return total / count


def _score(loaded: LoadedModel, batches: Sequence[Sequence[Encoded]], features: Features | None) -> float:
    """Return the mean over tasks of each task's own metric, of the likeliest answers."""
    answered: dict[str, list[tuple[Encoded, str | None]]] = {}
    for batch in batches:
        predictions = predict_batch(loaded, batch, "likelihood", features=features)
        for each, prediction in zip(batch, predictions, strict=True):
            answered.setdefault(each.sample.task, []).append((each, prediction.label))
    scores = []
    for task, rows in sorted(answered.items()):
        labels = sorted({label for each, _ in rows for label in each.sample.labels})
        counts = confusion([each.sample.output for each, _ in rows], [label for _, label in rows], labels)
        scores.append(float(primary(TASKS[task].metric, counts, labels)))
    return sum(scores) / len(scores)
