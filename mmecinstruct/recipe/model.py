"""The recipe: what to build, as a frozen, typed value that forbids unknown fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from mmecinstruct.core.settings import Settings
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
    """The built-in shop, drawn from the recipe's seed and written in the publishers' raw formats."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures": "images", "picture_side": "image_side"}

    products: int = Field(default=900, ge=60, le=10_000_000)
    images: bool = True
    image_side: int = Field(default=224, ge=64, le=1024)
    dirt: bool = True


class PublishSettings(Settings):
    """How the dataset folder is written."""

    pretty_name: str = "E-commerce multimodal instructions"
    license: str = "other"
    language: tuple[str, ...] = ("en",)
    shard_rows: int = Field(default=1000, ge=1)
    row_group_rows: int = Field(default=100, ge=1)


class ImageCheckSettings(Settings):
    """The parts of a recipe that speak of images: what `mmec images` needs."""

    images: ImageSettings = ImageSettings()
    fetch: FetchSettings = FetchSettings()


class Recipe(Settings):
    """One dataset: sources, sizes, seeds, thresholds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str = ""
    seed: int = 0
    sample: SampleShopSettings | None = None  # draw the built-in shop; its folder is then the data root
    sources: tuple[Source, ...]
    # open: build only from sources that anyone may pass on for any purpose; the others are left out and named.
    licences: Literal["any", "open"] = "any"
    pull: PullSettings = PullSettings()
    fetch: FetchSettings = FetchSettings()
    images: ImageSettings = ImageSettings()
    curate: CurateSettings = CurateSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    split: SplitSettings = SplitSettings()
    sizes: Sizes = Field(default=Sizes(), description="Sizes of every task that has none of its own.")
    sampling: SamplingSettings | None = None  # draw records from large files; null: every record is looked at
    scale: float = Field(default=1.0, gt=0, le=1000)  # multiplies all sizes, those of single tasks too
    tasks: dict[str, SerializeAsAny[TaskSettings]] = Field(
        default_factory=dict, description="Settings of single tasks, by their full names."
    )
    instructions: InstructionSettings = InstructionSettings()
    publish: PublishSettings = PublishSettings()
    audit: AuditSettings = AuditSettings()
    resources: ResourceSettings = ResourceSettings()

    @field_validator("tasks", mode="before")
    @classmethod
    def _read_tasks(cls, value: Any) -> Any:
        return read_task_settings(value)

    @model_validator(mode="after")
    def _sampling_knows_the_split(self) -> Recipe:
        """Refuse what would make sampling guess wrong: it draws by the split that a hash gives each product."""
        if self.sampling is not None and self.split.scheme != "clusters":
            raise ValueError(
                "sampling goes with split.scheme clusters: which community a product falls into is not known "
                "before all products were read; remove sampling, or set split.scheme"
            )
        return self

    @model_validator(mode="after")
    def _sampling_honours_the_tasks(self) -> Recipe:
        """Refuse settings of a task by which sampling would find nothing."""
        for name, settings in self.tasks.items():
            why = settings.why_not_sampled() if self.sampling is not None else None
            if why is not None:
                raise ValueError(f"tasks.{name}.{why}")
        return self

    @model_validator(mode="after")
    def _fetches_what_is_read(self) -> Recipe:
        if self.fetch.enabled and not self.images.read:
            raise ValueError(
                "fetch.enabled: with images.read: false nothing is asked for; set fetch.enabled to false, or "
                "images.read to true"
            )
        return self

    def task(self, name: str) -> TaskSettings:
        """Return the settings of a task, the defaults where the recipe says nothing.

        A synthetic shop without images has none to require.

        Args:
            name: the task's full name.

        Returns:
            An object of the task's own settings class.
        """
        settings: TaskSettings = self.tasks.get(name) or TASKS[name].settings()
        if self.sample is not None and not self.sample.images:
            return settings.model_copy(update={"require_images": "none"})
        return settings

    def task_sizes(self, name: str) -> Sizes:
        """Return the sizes of a task, in samples: scaled, and without an out-of-domain test 0 of it.

        Args:
            name: the task's full name.
        """
        sizes = (self.task(name).sizes or self.sizes).scaled(self.scale)
        return sizes if TASKS[name].has_ood else sizes.model_copy(update={"test_ood": 0})

    def published(self) -> dict[str, object]:
        """Return as JSON can hold it what decides what is built: all but the resources."""
        return self.model_dump(mode="json", exclude={"resources"})
