"""Settings of the splits, and how a recipe's `tasks` are read: each into its task's own settings class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model, model_validator
from pydantic.config import JsonDict

from mmecinstruct.core.settings import Settings
from mmecinstruct.tasks import TASKS, TaskSettings

_SHARE: JsonDict = {"unit": "share of products, 0 to 1"}


class SplitSettings(Settings):
    """How products, users and queries are assigned to splits."""

    scheme: Literal["clusters", "communities"] = Field(
        default="clusters",
        description="Products that stay together: near-duplicates, and with `communities` related ones (small shops).",
    )
    train: float = Field(default=0.8, gt=0, lt=1, description="Share of train.", json_schema_extra=_SHARE)
    validation: float = Field(
        default=0.1, ge=0, lt=1, description="Share of validation.", json_schema_extra=_SHARE
    )
    test: float = Field(default=0.1, ge=0, lt=1, description="Share of test.", json_schema_extra=_SHARE)
    ood_categories: tuple[str, ...] = Field(
        default=(),
        description="Top-level categories that are kept for test_ood, in any spelling. A product below one by any of "
        "its paths is kept too.",
    )
    decontaminate: bool = Field(
        default=True,
        description="Drop candidates of a later split that share a title, question, query, review or snippet text, or "
        "an image, with a selected sample of an earlier split, in any task.",
    )

    def assigning(self) -> SplitSettings:
        """Return the settings that assign products, users and queries, the others at their defaults."""
        return self.model_copy(update={"decontaminate": True})

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> SplitSettings:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError("train, validation and test must sum to 1")
        return self


def read_task_settings(content: Any, context: Any = None) -> Any:
    """Read a recipe's `tasks`, each entry into the settings class of its task.

    A setting of another task at its default is left out: the resolved recipes of earlier versions name them all.

    Args:
        content: settings by task, as YAML gives them or as objects; anything else is returned as it is.
        context: of the recipe's validation.

    Returns:
        The settings by task, in the order given.

    Raises:
        ValueError: for an unknown task, a setting that another task uses, or a label balance of unknown labels.
        ValidationError: for any other wrong setting, with its path.
    """
    if not isinstance(content, Mapping):
        return content
    unknown = sorted(str(name) for name in content if name not in TASKS)
    if unknown:
        raise ValueError(f"no such task: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    classes: dict[str, Any] = {name: (TASKS[name].settings, ...) for name in content}
    read = create_model("Tasks", __base__=Settings, **classes).model_validate(
        {name: _own_settings(name, values) for name, values in content.items()}, context=context
    )
    settings: dict[str, TaskSettings] = {name: getattr(read, name) for name in content}
    for name, one in settings.items():
        labels = TASKS[name].labels
        strange = sorted(set(one.label_balance or ()) - set(labels)) if labels else []
        if labels and strange:
            raise ValueError(
                f"tasks.{name}.label_balance: no label {', '.join(strange)}; there are {', '.join(labels)}"
            )
    return settings


def _own_settings(task: str, values: Any) -> Any:
    """Return a task's settings without those of other tasks; raise ValueError where one of these would change."""
    if not isinstance(values, Mapping):
        return values
    own = {}
    for name, value in values.items():
        users = [one for one in TASKS if _field(TASKS[one].settings, name)]
        if task in users or not users:
            own[name] = value
            continue
        if not any(_is_default(TASKS[user].settings, name, value) for user in users):
            raise ValueError(f"tasks.{task}.{name}: only {', '.join(users)} uses it; remove it")
    return own


def _is_default(settings: type[TaskSettings], name: str, value: Any) -> bool:
    today = _field(settings, name)
    default = settings.model_fields[today].default
    return value in (default, settings.old_defaults.get(today, default))


def _field(settings: type[TaskSettings], name: str) -> str:
    """Return today's name of a field of the class, empty where it has none."""
    today = settings.renamed_fields.get(name, name)
    return today if today in settings.model_fields else ""
