"""Settings of the tasks, their sizes and splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mmecinstruct.core.settings import Settings


class Sizes(Settings):
    """The most samples per split of a task. Fewer are reported, never filled up by repetition."""

    train: int = Field(default=8000, ge=0)
    validation: int = Field(default=1000, ge=0)
    test: int = Field(default=1000, ge=0)
    test_ood: int = Field(default=1000, ge=0)

    def scaled(self, factor: float) -> Sizes:
        """Return the sizes times a factor, rounded to whole samples, at least one where any is wanted."""
        return Sizes(
            **{name: max(round(size * factor), min(size, 1)) for name, size in self.model_dump().items()}
        )


class SplitSettings(Settings):
    """How products, users and queries are assigned to splits."""

    # clusters: near-duplicates together. communities: also related products together (small shops).
    scheme: Literal["clusters", "communities"] = "clusters"
    train: float = Field(default=0.8, gt=0, lt=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    ood_categories: tuple[str, ...] = ()  # top-level categories, kept for test_ood

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> SplitSettings:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError("train, validation and test must sum to 1")
        return self


class TaskSettings(Settings):
    """Settings of one task; what it does not use must keep its default, or the recipe is refused."""

    renamed_fields: ClassVar[Mapping[str, str]] = {
        "product_picture": "product_image",
        "require_pictures": "require_images",
    }

    sizes: Sizes | None = None  # else the recipe's
    # Wanted share per label, e.g. {yes: 0.5, no: 0.5}; a label not named gets none. null keeps what the data has.
    label_balance: dict[str, float] | None = None
    options: int = Field(default=10, ge=2, le=26)  # cc
    labelled_only: bool = (
        False  # cc: only products whose fine category somebody labelled, not those with a path alone
    )
    candidates: int = Field(default=20, ge=2, le=26)  # sr
    max_history: int = Field(default=10, ge=1)  # sr
    min_history: int = Field(default=3, ge=1)  # sr
    negatives: Literal["random", "category"] = "random"  # sr
    k_core: int = Field(default=5, ge=1)  # sr
    min_words: int = Field(default=1, ge=0)  # sa: words of a review
    product_image: bool = False  # sa: take the product's where the review has none
    # Which of the wanted images a sample must have.
    require_images: Literal["all", "any", "none"] = "all"

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


CC = "category_classification"
SR = "sequential_recommendation"
TASK_OF_SETTING = {
    "options": CC,
    "labelled_only": CC,
    "candidates": SR,
    "max_history": SR,
    "min_history": SR,
    "negatives": SR,
    "k_core": SR,
    "min_words": "sentiment_analysis",
    "product_image": "sentiment_analysis",
}
# What label_balance may name. Elsewhere the data decides: cc's labels are categories, sr's letters of candidates.
LABELS = {
    "answerability_prediction": ("yes", "no"),
    "product_relation_prediction": ("A", "B", "C"),
    "product_substitute_identification": ("yes", "no"),
    "multiclass_product_classification": ("A", "B", "C", "D"),
    "sentiment_analysis": ("A", "B", "C", "D", "E"),
}
