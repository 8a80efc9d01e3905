"""Recipes: what to build. The settings of each part of the pipeline stand in a module of their own."""

from mmecinstruct.recipe.audit import AuditSettings
from mmecinstruct.recipe.curate import CurateSettings
from mmecinstruct.recipe.duplicates import DuplicateSettings
from mmecinstruct.recipe.fetch import FetchSettings
from mmecinstruct.recipe.images import ImageSettings, Mirror
from mmecinstruct.recipe.loading import (
    apply_override,
    built_in_recipes,
    find_recipe,
    load_picture_settings,
    load_recipe,
)
from mmecinstruct.recipe.model import (
    InstructionSettings,
    PictureSettings,
    PublishSettings,
    Recipe,
    SampleShopSettings,
)
from mmecinstruct.recipe.pull import PullSettings
from mmecinstruct.recipe.resources import ResourceSettings
from mmecinstruct.recipe.sampling import SamplingSettings
from mmecinstruct.recipe.tasks import Sizes, SplitSettings, TaskSettings

__all__ = [
    "AuditSettings",
    "CurateSettings",
    "DuplicateSettings",
    "FetchSettings",
    "ImageSettings",
    "InstructionSettings",
    "Mirror",
    "PictureSettings",
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
    "load_picture_settings",
    "load_recipe",
]
