"""Settings of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from caslie_model.config.common import Answers, Device, Precision, Quantise, full_task_names
from mmecinstruct.core.settings import Settings
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import task_names


class EvaluateConfig(Settings):
    """One evaluation."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    model: str  # an adapter folder, or user/name of one on the Hub; with base_only also a preset's name or a base model
    data: str
    out: Path
    splits: tuple[str, ...] = ("test", "test_ood")
    tasks: tuple[str, ...] = Field(default_factory=task_names)
    base_only: bool = False
    limit: int | None = Field(default=None, ge=1)  # samples per task and split, in hash order of their ids
    subset: Literal["all", "visual-critical", "text"] = "all"
    instruction: Literal["seen", "unseen"] = "seen"
    scoring: Literal["generate", "likelihood"] = "generate"
    # What a model that sees is shown: own | shuffled (of other samples of the task and split) | none. The two last are
    # controls: a model that answers as well without its images does not look at them.
    images: Literal["own", "shuffled", "none"] = "own"
    length_normalised: bool = False  # likelihood per token instead of the answer's probability
    answers: Answers | None = None  # null: as the model was trained, or text
    max_length: int | None = Field(default=None, ge=64)  # null: as the model was trained
    batch_size: int = Field(default=8, ge=1)
    bootstrap_resamples: int = Field(default=1000, ge=100)
    seed: int = Field(default=0, ge=0)
    precision: Precision = "auto"
    device: Device = "auto"
    quantise: Quantise | None = None  # null: as the model was trained, or none

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    @field_validator("splits")
    @classmethod
    def _splits_exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(SPLITS))
        if unknown or not value:
            raise ValueError(
                f"no such split: {', '.join(unknown) or '(none)'}; there are {', '.join(SPLITS)}"
            )
        return tuple(split for split in SPLITS if split in value)
