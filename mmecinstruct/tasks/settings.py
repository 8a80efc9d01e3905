"""Settings that all tasks share; a task's own settings are in its module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from mmecinstruct.core.settings import Settings

_SAMPLES: JsonDict = {"unit": "samples"}


class Sizes(Settings):
    """The most samples per split of a task. Fewer are reported, never filled up by repetition."""

    train: int = Field(default=8000, ge=0, description="Samples to train on.", json_schema_extra=_SAMPLES)
    validation: int = Field(
        default=1000, ge=0, description="Samples to choose models by.", json_schema_extra=_SAMPLES
    )
    test: int = Field(default=1000, ge=0, description="Samples to score.", json_schema_extra=_SAMPLES)
    test_ood: int = Field(
        default=1000,
        ge=0,
        description="Samples to score, of categories that no training sample has.",
        json_schema_extra=_SAMPLES,
    )

    def scaled(self, factor: float) -> Sizes:
        """Return the sizes times a factor, rounded to whole samples, at least one where any is wanted."""
        return Sizes(
            **{name: max(round(size * factor), min(size, 1)) for name, size in self.model_dump().items()}
        )


class TaskSettings(Settings):
    """Settings that every task has. A setting that only one task uses is in the task's own class.

    Attributes:
        old_defaults: Defaults of earlier versions, by field: the resolved recipes of these name them in every task.
    """

    renamed_fields: ClassVar[Mapping[str, str]] = {"require_pictures": "require_images"}
    old_defaults: ClassVar[Mapping[str, Any]] = {}

    sizes: Sizes | None = Field(default=None, description="Sizes of this task; null takes the recipe's.")
    label_balance: dict[str, float] | None = Field(
        default=None,
        description="Wanted share of each label, e.g. {yes: 0.5, no: 0.5}; a label that is not named gets none. "
        "null keeps what the data has.",
        json_schema_extra={"unit": "share, 0 to 1"},
    )
    require_images: Literal["all", "any", "none"] = Field(
        default="all", description="Which of the wanted images a sample must have."
    )

    @field_validator("label_balance", mode="before")
    @classmethod
    def _yes_and_no_are_words(cls, value: Any) -> Any:
        """Undo YAML, which reads an unquoted yes or no as true or false."""
        if not isinstance(value, dict):
            return value
        words = {True: "yes", False: "no"}
        return {words[key] if isinstance(key, bool) else key: share for key, share in value.items()}

    @field_validator("label_balance")
    @classmethod
    def _balance_sums_to_one(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and (abs(sum(value.values()) - 1) > 1e-6 or min(value.values()) < 0):
            raise ValueError("shares are not negative and sum to 1")
        return value

    def why_not_sampled(self) -> str | None:
        """Return which setting sampling cannot honour, and the remedy; None where it honours all."""
        return None


class InstructionSettings(Settings):
    """Which instruction variant is kept for `instruction_unseen`."""

    held_out: int = Field(
        default=5, ge=1, le=5, description="Variant that only test rows have, as `instruction_unseen`."
    )
