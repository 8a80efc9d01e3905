"""What a baseline is: fitted to the training split of a task, it scores the allowed answers of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from caslie_model.config.training import VisionSettings
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.data.samples import Sample
from caslie_model.runtime.device import CPU, Device

# Log-probability of each allowed label of each sample; equal ones are decided by the order of the labels.
Scores: TypeAlias = Sequence[Mapping[str, float]]
Scorer: TypeAlias = Callable[[Sequence[Sample]], Scores]


@dataclass(frozen=True)
class FitData:
    """What a baseline is fitted to.

    Attributes:
        task: Full name of the task.
        train: Samples of its training split.
        validation: Samples of its validation split, which settings are chosen by; may be empty.
        seed: Seed of everything that is random.
        images: The images of these samples and of those that are asked, by sample id, as they are asked; None for a
            baseline without.
        vision: The vision encoder, for a baseline that reads images.
        device: Where images are encoded.
    """

    task: str
    train: Sequence[Sample]
    validation: Sequence[Sample]
    seed: int
    images: SpooledImages | None = None
    vision: VisionSettings | None = None
    device: Device = CPU


Fitter: TypeAlias = Callable[[FitData], Scorer]


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes:
        name: As `baseline:NAME` has it.
        what: What it does, in one clause.
        fit: Fits it to a task; the result scores samples of the task, whose right answers it does not read.
        version: Raised whenever the same data may give other scores than before.
        tasks: Short names of the tasks that it can answer; empty: all.
        reads_images: Whether it is given images.
    """

    name: str
    what: str
    fit: Fitter
    version: int = 1
    tasks: tuple[str, ...] = ()
    reads_images: bool = False
