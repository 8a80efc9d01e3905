"""The recipe: which dataset to build, as a frozen, typed value that forbids unknown fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from mmecinstruct.core.settings import Pixels, Settings, unit
from mmecinstruct.core.shown import published_url
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.recipe.resources import ResourceSettings
from mmecinstruct.recipe.sampling import SamplingSettings
from mmecinstruct.recipe.tasks import SplitSettings, read_task_settings
from mmecinstruct.sources.settings import Source
from mmecinstruct.tasks import TASKS, InstructionSettings, Sizes, TaskSettings
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files.settings import PullSettings


class SampleShopSettings(Settings):
    """The synthetic sample shop: made from the recipe's seed and written in the publishers' raw formats."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures": "images", "picture_side": "image_side"}

    products: int = Field(default=900, ge=60, le=10_000_000, description="Number of products.")
    images: bool = Field(
        default=True, description="Render product images. `false` makes a text-only shop in less time."
    )
    image_side: Pixels = Field(
        default=224, ge=64, le=1024, description="Side of the square images in pixels."
    )
    dirt: bool = Field(
        default=True,
        description="Plant the defects of real files: broken titles, dead links, duplicates and others.",
    )


class PublishSettings(Settings):
    """How the dataset folder is written."""

    pretty_name: str = Field(
        default="E-commerce multimodal instructions", description="Title of the dataset card."
    )
    license: str = Field(
        default="other",
        description="Licence of the dataset as the Hub names it, such as `cc-by-4.0`. `licences: open` needs it for "
        "your own tables.",
    )
    language: tuple[str, ...] = Field(
        default=("en",), description="Languages that the dataset card states (ISO 639 codes)."
    )
    shard_rows: Annotated[int, unit("rows")] = Field(
        default=1000, ge=1, description="Rows per Parquet shard. Raise it for fewer, larger files."
    )
    row_group_rows: Annotated[int, unit("rows")] = Field(
        default=100,
        ge=1,
        description="Rows per row group of a shard. Lower it when single rows with large images are read at random.",
    )


class ImageCheckSettings(Settings):
    """The parts of a recipe that `mmec images` reads."""

    images: ImageSettings = Field(
        default=ImageSettings(), description="Where images are, and which are rejected."
    )
    fetch: FetchSettings = Field(default=FetchSettings(), description="Download of images. Off by default.")
    duplicates: DuplicateSettings = Field(
        default=DuplicateSettings(), description="Which images are near, for `--near`."
    )


class Recipe(Settings):
    """One dataset: its sources, seed, sizes, splits and thresholds."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of the recipe: lower-case letters, digits and hyphens.",
    )
    description: str = Field(default="", description="One sentence on the dataset, for its card.")
    seed: int = Field(
        default=0, description="Seed of all hash draws. Another seed gives other splits and samples."
    )
    sample: SampleShopSettings | None = Field(
        default=None, description="Make the synthetic sample shop and use its folder as the data root."
    )
    sources: tuple[Source, ...] = Field(description="Raw files to read.")
    licences: Literal["any", "open"] = Field(
        default="any",
        description="`open` builds only from sources that anyone may redistribute for any purpose; the others are "
        "left out and named.",
    )
    pull: PullSettings = Field(default=PullSettings(), description="Download of raw files by `mmec pull`.")
    fetch: FetchSettings = Field(default=FetchSettings(), description="Download of images. Off by default.")
    images: ImageSettings = Field(
        default=ImageSettings(), description="Where images are, and which are rejected."
    )
    curate: CurateSettings = Field(
        default=CurateSettings(), description="Languages and personal data of texts."
    )
    duplicates: DuplicateSettings = Field(
        default=DuplicateSettings(), description="Near-duplicates that stay in one split, and merging."
    )
    split: SplitSettings = Field(default=SplitSettings(), description="Assignment of products to splits.")
    sizes: Sizes = Field(
        default=Sizes(), description="Samples per split of each task. `tasks` may override them."
    )
    sampling: SamplingSettings | None = Field(
        default=None,
        description="Sample records from large files before they are processed. `null` processes every record.",
    )
    scale: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="Factor of all sizes, those of single tasks included. Try a recipe with 0.01.",
    )
    tasks: dict[str, SerializeAsAny[TaskSettings]] = Field(
        default_factory=dict, description="Settings of single tasks, by the task's name."
    )
    instructions: InstructionSettings = Field(
        default=InstructionSettings(), description="Instruction variants of training and test."
    )
    publish: PublishSettings = Field(
        default=PublishSettings(), description="Card and files of the dataset folder."
    )
    audit: AuditSettings = Field(
        default=AuditSettings(), description="Comparisons and tolerances of the audit."
    )
    resources: ResourceSettings = Field(
        default=ResourceSettings(), description="Memory and disk of the build. Not part of the dataset."
    )

    @field_validator("tasks", mode="before")
    @classmethod
    def _read_tasks(cls, value: Any, info: ValidationInfo) -> Any:
        return read_task_settings(value, info.context)

    @model_validator(mode="after")
    def _sampling_knows_the_split(self) -> Recipe:
        """Reject communities with sampling, which predicts the split of a product from its hash."""
        if self.sampling is not None and self.split.scheme != "clusters":
            raise ValueError(
                "sampling needs split.scheme clusters: communities are known only after all products were read; "
                "remove sampling, or set split.scheme to clusters"
            )
        return self

    @model_validator(mode="after")
    def _sampling_honours_the_tasks(self) -> Recipe:
        """Reject settings of a task by which sampling would find nothing."""
        for name, settings in self.tasks.items():
            why = settings.why_not_sampled() if self.sampling is not None else None
            if why is not None:
                raise ValueError(f"tasks.{name}.{why}")
        return self

    @model_validator(mode="after")
    def _fetches_what_is_read(self) -> Recipe:
        if self.fetch.enabled and not self.images.read:
            raise ValueError(
                "fetch.enabled: with images.read: false nothing is downloaded; set fetch.enabled to false, or "
                "images.read to true"
            )
        return self

    def task(self, name: str) -> TaskSettings:
        """Return the settings of a task, or its defaults. A synthetic shop without images requires none.

        Args:
            name: The full name of the task.

        Returns:
            An object of the task's own settings class.
        """
        settings: TaskSettings = self.tasks.get(name) or TASKS[name].settings()
        if self.sample is not None and not self.sample.images:
            return settings.model_copy(update={"require_images": "none"})
        return settings

    def task_sizes(self, name: str) -> Sizes:
        """Return the scaled sizes of a task; `test_ood` is 0 for a task without an OOD test."""
        sizes = (self.task(name).sizes or self.sizes).scaled(self.scale)
        return sizes if TASKS[name].has_ood else sizes.model_copy(update={"test_ood": 0})

    def published(self) -> dict[str, object]:
        """Return the settings that decide the output as values of JSON: all but the resources, URLs without secrets."""
        settings: dict[str, object] = _without_secrets(self.model_dump(mode="json", exclude={"resources"}))
        return settings


_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//\S+$", re.IGNORECASE)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    # Only what is a URL as a whole: a text says what its author wrote.
    is_url = isinstance(value, str) and _URL.match(value) is not None
    return published_url(value, len(value)) if is_url else value
