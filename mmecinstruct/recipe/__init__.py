"""Recipes: which dataset to build. Each part of the pipeline has its own module of settings."""

from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.settings import ImageSettings, Mirror
from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.recipe.loading import (
    apply_override,
    built_in_recipes,
    find_recipe,
    load_image_check_settings,
    load_recipe,
    override_texts,
)
from mmecinstruct.recipe.model import (
    ImageCheckSettings,
    PublishSettings,
    Recipe,
    SampleShopSettings,
)
from mmecinstruct.recipe.resources import ResourceSettings
from mmecinstruct.recipe.sampling import SamplingSettings
from mmecinstruct.recipe.tasks import SplitSettings
from mmecinstruct.tasks import InstructionSettings, Sizes, TaskSettings
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.raw_files.settings import PullSettings

__all__ = [
    "AuditSettings",
    "CurateSettings",
    "DuplicateSettings",
    "FetchSettings",
    "ImageCheckSettings",
    "ImageSettings",
    "InstructionSettings",
    "Mirror",
    "PublishSettings",
    "PullSettings",
    "Recipe",
    "ResourceSettings",
    "SampleShopSettings",
    "SamplingSettings",
    "Sizes",
    "SplitSettings",
    "TaskSettings",
    "apply_override",
    "built_in_recipes",
    "find_recipe",
    "load_image_check_settings",
    "load_recipe",
    "override_texts",
]
