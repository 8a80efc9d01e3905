"""Recipes: what to build, as a frozen, typed value that forbids unknown fields.

A recipe is a YAML file (`pipelines/*.yaml` are built in). Overrides in dotted form (`sizes.train=100`) are
applied before validation, so a wrong name or a wrong type is an error that names the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mmecinstruct.errors import RecipeError
from mmecinstruct.resources import pipelines_folder
from mmecinstruct.samples import OOD_TASKS, TASKS
from mmecinstruct.settings import Settings
from mmecinstruct.source_settings import Source, is_glob


def _is_below_root(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts:
        raise ValueError("a folder below the data root, without '..'")
    return value


Folder = Annotated[str, AfterValidator(_is_below_root)]
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


# --- stages ------------------------------------------------------------------------------------------


class SampleShopSettings(Settings):
    """The built-in shop, drawn from the recipe's seed and written in the publishers' raw formats."""

    products: int = Field(default=900, ge=60, le=10_000_000)
    pictures: bool = True
    picture_side: int = Field(default=224, ge=64, le=1024)
    dirt: bool = True


class Mirror(Settings):
    """A folder that stands for a web address: `<url><path>` is read from `<folder>/<path>`."""

    url: str
    folder: Annotated[Folder, AfterValidator(is_glob)]  # relative to the data root

    @field_validator("url")
    @classmethod
    def _url_is_a_folder(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or not urlsplit(value).hostname:
            raise ValueError("a web address, as in https://images.shop.example/")
        return value if value.endswith("/") else f"{value}/"


class ImageSettings(Settings):
    """Thresholds of the picture stage. Where one changes, the pictures are read again."""

    mirrors: tuple[Mirror, ...] = ()
    folders: tuple[Folder, ...] = (".",)  # below the data root: where local paths may point
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    min_side: int = Field(default=32, ge=1)
    max_aspect: float = Field(default=5.0, ge=1)
    min_deviation: float = Field(default=4.0, ge=0)  # below: blank
    max_products_per_picture: int = Field(default=5, ge=1)  # above: a placeholder
    longest_side: int = Field(default=512, ge=32)
    jpeg_quality: int = Field(default=88, ge=40, le=100)


class CurateSettings(Settings):
    """Cleaning and duplicates."""

    languages: tuple[LanguageCode, ...] = ("en",)  # of reviews; none: any language
    # A review is rejected when it is in another language with at least this probability. Short English reviews
    # are taken for something else with up to 0.7.
    min_language_score: float = Field(default=0.8, ge=0, le=1)
    near_duplicate_similarity: float = Field(default=0.85, gt=0.5, le=1)  # Jaccard of title words


class Sizes(Settings):
    """The most samples per split of a task. Fewer are reported, never filled up by repetition."""

    train: int = Field(default=8000, ge=0)
    validation: int = Field(default=1000, ge=0)
    test: int = Field(default=1000, ge=0)
    test_ood: int = Field(default=1000, ge=0)


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

    sizes: Sizes | None = None  # else the recipe's
    # Wanted share per label, e.g. {yes: 0.5, no: 0.5}; a label not named gets none. null keeps what the data has.
    label_balance: dict[str, float] | None = None
    options: int = Field(default=10, ge=2, le=26)  # cc
    candidates: int = Field(default=20, ge=2, le=26)  # sr
    max_history: int = Field(default=10, ge=1)  # sr
    min_history: int = Field(default=3, ge=1)  # sr
    negatives: Literal["random", "category"] = "random"  # sr
    k_core: int = Field(default=5, ge=1)  # sr
    min_words: int = Field(default=1, ge=0)  # sa: words of a review
    product_picture: bool = False  # sa: take the product's where the review has none
    # Which of the wanted pictures a sample must have.
    require_pictures: Literal["all", "any", "none"] = "all"

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


_SR = "sequential_recommendation"
_TASKS_OF_SETTING = {
    "options": "category_classification",
    "candidates": _SR,
    "max_history": _SR,
    "min_history": _SR,
    "negatives": _SR,
    "k_core": _SR,
    "min_words": "sentiment_analysis",
    "product_picture": "sentiment_analysis",
}
# What label_balance may name. Elsewhere the data decides: cc's labels are categories, sr's letters of candidates.
_LABELS = {
    "answerability_prediction": ("yes", "no"),
    "product_relation_prediction": ("A", "B", "C"),
    "product_substitute_identification": ("yes", "no"),
    "multiclass_product_classification": ("A", "B", "C", "D"),
    "sentiment_analysis": ("A", "B", "C", "D", "E"),
}


class InstructionSettings(Settings):
    """Which instruction variant (1 to 5) is kept for `instruction_unseen`."""

    held_out: int = Field(default=5, ge=1, le=5)


class PublishSettings(Settings):
    """How the dataset folder is written."""

    pretty_name: str = "E-commerce multimodal instructions"
    license: str = "other"
    language: tuple[str, ...] = ("en",)
    shard_rows: int = Field(default=1000, ge=1)
    row_group_rows: int = Field(default=100, ge=1)


class Recipe(Settings):
    """One dataset: sources, sizes, seeds, thresholds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str = ""
    seed: int = 0
    sample: SampleShopSettings | None = None  # draw the built-in shop; its folder is then the data root
    sources: tuple[Source, ...]
    images: ImageSettings = ImageSettings()
    curate: CurateSettings = CurateSettings()
    split: SplitSettings = SplitSettings()
    sizes: Sizes = Sizes()
    tasks: dict[str, TaskSettings] = Field(default_factory=dict)
    instructions: InstructionSettings = InstructionSettings()
    publish: PublishSettings = PublishSettings()

    @field_validator("tasks")
    @classmethod
    def _tasks_exist(cls, value: dict[str, TaskSettings]) -> dict[str, TaskSettings]:
        unknown = sorted(set(value) - set(TASKS))
        if unknown:
            raise ValueError(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
        return value

    @model_validator(mode="after")
    def _tasks_use_their_settings(self) -> Recipe:
        """Refuse what would have no effect: a setting of another task, a balance of labels that do not exist."""
        for task, settings in self.tasks.items():
            for name, field in TaskSettings.model_fields.items():
                user = _TASKS_OF_SETTING.get(name)
                if user is not None and user != task and getattr(settings, name) != field.default:
                    raise ValueError(f"tasks.{task}.{name}: only {user} uses it; remove it")
            labels = _LABELS.get(task)
            unknown = sorted(set(settings.label_balance or ()) - set(labels)) if labels else []
            if labels and unknown:
                raise ValueError(
                    f"tasks.{task}.label_balance: no label {', '.join(unknown)}; there are {', '.join(labels)}"
                )
        return self

    def task(self, name: str) -> TaskSettings:
        """Return the settings of a task, the defaults where the recipe says nothing.

        A shop that is drawn without pictures has none to require.
        """
        settings = self.tasks.get(name, TaskSettings())
        if self.sample is not None and not self.sample.pictures:
            return settings.model_copy(update={"require_pictures": "none"})
        return settings

    def task_sizes(self, name: str) -> Sizes:
        """Return the sizes of a task; tasks without an OOD test want none."""
        sizes = self.task(name).sizes or self.sizes
        return sizes if name in OOD_TASKS else sizes.model_copy(update={"test_ood": 0})


# --- loading -----------------------------------------------------------------------------------------


def built_in_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(pipelines_folder().glob("*.yaml"))}


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a built-in recipe's name or of a path.

    Raises RecipeError when there is neither.
    """
    built_in = built_in_recipes()
    if name_or_path in built_in:
        return built_in[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise RecipeError(
        f"no recipe '{name_or_path}': give a YAML file or one of {', '.join(built_in) or 'none found'}"
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe, with dotted overrides such as `sizes.train=100`.

    Raises RecipeError with every wrong field and its remedy.
    """
    path = find_recipe(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, no such date
        raise RecipeError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields to values")
    for override in overrides:
        apply_override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(recipe)'}: {e['msg']}" for e in error.errors()]
        raise RecipeError("\n".join([f"{path}: not a valid recipe:", *lines])) from error


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one dotted field of a recipe's content in place: `a.b.0.c=VALUE`, the value read as YAML.

    Raises RecipeError where the path leads through something that is no mapping or list.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {override}: write FIELD=VALUE, e.g. sizes.train=100")
    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"--set {override}: the value is not YAML: {error}") from error
    *parents, last = key.split(".")
    place: Any = content
    for name in parents:
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, dict):
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
        else:
            raise RecipeError(f"--set {override}: there is no field '{name}' to set '{last}' in")
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"--set {override}: there is no field '{last}'")
