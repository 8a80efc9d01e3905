"""Ending a training when its validation figure no longer improves, and going back to its best weights.

All that decides stands in the Trainer's log, which its checkpoints hold: a resumed run stops where an uninterrupted one
does. The weights of the best validation lie beside the checkpoints, named by their step; older ones are deleted only
when a checkpoint is written that knows of the newer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caslie_model.config.training import EarlyStopSettings
from caslie_model.data.images import Features
from caslie_model.errors import RunError
from caslie_model.evaluation.metrics import confusion, primary
from caslie_model.prompts.encoder import Encoded, PromptFormat
from mmecinstruct.core.files import write_atomically
from mmecinstruct.tasks import TASKS

Log = Sequence[Mapping[str, Any]]  # the Trainer's

# The Trainer's own prefix: trackers show what begins so apart from what is seen in training.
_LOGGED_AS = "eval_"


@dataclass(frozen=True, slots=True)
class Standing:
    """The best validation so far, and how many without improvement came after it."""

    step: int
    figure: float
    waited: int


@dataclass(frozen=True)
class EarlyStop:
    """What a training is measured by on its way, and where the weights of its best step lie.

    encoded: samples of the validation split. folder: of the checkpoints. features: of images, for a model that sees.
    """

    settings: EarlyStopSettings
    encoded: Sequence[Encoded]
    prompt_format: PromptFormat
    folder: Path
    batch_size: int
    device: str
    precision: str
    features: Features | None = None

    @property
    def logged_as(self) -> str:
        """Name of the figure in the Trainer's log."""
        return _LOGGED_AS + self.settings.metric

    def measure(self, model: Any) -> float:
        """Return the figure of a model in training, which is left as it was: a loss per answer token, or a score.

        Draws nothing at random, so a training that is measured learns the same.
        """
        import torch

        from caslie_model.adapters.loading import LoadedModel

        loaded = LoadedModel(
            model, self.prompt_format.tokenizer, self.prompt_format, self.device, self.precision
        )
        # Longest first, as in an evaluation: running out of memory happens at once.
        ordered = sorted(self.encoded, key=lambda each: (-len(each.prompt), each.sample.id))
        batches = [
            ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)
        ]
        was_training = model.training
        model.eval()
        try:
            # Trained tensors are float32 beside a base model in bfloat16, as in the steps between.
            with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"):
                if self.settings.metric == "loss":
                    return _loss(loaded, batches, self.features)
                return _score(loaded, batches, self.features)
        finally:
            model.train(was_training)

    def evaluations(self, log: Log) -> list[tuple[int, float]]:
        """Return step and figure of each validation in a Trainer's log."""
        return [(int(entry["step"]), entry[self.logged_as]) for entry in log if self.logged_as in entry]

    def standing(self, log: Log) -> Standing | None:
        """Return the best validation of a log, the first of equal ones; None without any. NaN is the worst."""
        best: Standing | None = None
        for step, figure in self.evaluations(log):
            if best is None or self._worth(figure) > self._worth(best.figure):
                best = Standing(step, figure, 0)
            else:
                best = replace(best, waited=best.waited + 1)
        return best

    def is_over(self, log: Log) -> bool:
        """Return whether the figure has not improved for as long as the settings allow."""
        best = self.standing(log)
        return best is not None and best.waited >= self.settings.patience

    def keep(self, model: Any, log: Log) -> None:
        """Write the trained weights of a model if the last validation of its log is the best."""
        from safetensors.torch import save

        best = self.standing(log)
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
        best = self.standing(log)
        for path in self.folder.glob(self._file("*").name):
            if best is not None and path != self._file(best.step):
                path.unlink(missing_ok=True)

    def restore(self, model: Any, log: Log) -> None:
        """Give a model its weights of the best validation. Raises RunError when they are not there or damaged."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        best = self.standing(log)
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
        """Return what training.json says of it."""
        best = self.standing(log)
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
        if math.isnan(figure):
            return -math.inf
        return -figure if self.settings.metric == "loss" else figure

    def _file(self, step: int | str) -> Path:
        return self.folder / f"best-{step}.safetensors"


def _loss(loaded: Any, batches: Sequence[Sequence[Encoded]], features: Features | None) -> float:
    """Return the mean negative log-likelihood of the right answers' tokens, as the training's loss is."""
    from caslie_model.inference.predict import answer_scores

    total, count = 0.0, 0
    for batch in batches:
        right = [replace(each, answers={each.sample.output: each.target}) for each in batch]
        scores = answer_scores(loaded, right, features=features)
        total -= sum(score for each in scores for score in each.values())
        count += sum(len(each.target) for each in batch)
    return total / count


def _score(loaded: Any, batches: Sequence[Sequence[Encoded]], features: Features | None) -> float:
    """Return the mean over tasks of the metric that each is judged by, of the likeliest answers."""
    from caslie_model.inference.predict import predict_batch

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
