"""Choices that configs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from mmecinstruct.core.settings import Settings
from mmecinstruct.schemas.captions import parse_choice
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import TASKS, task_names

Fusion = Literal["text", "xattn", "concat", "concat-full"]
Answers = Literal["letter", "text"]
Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
Quantise = Literal["none", "8bit", "4bit"]
# How requests call the limit of tokens of an answer.
LimitName = Literal["max_tokens", "max_completion_tokens"]
Config = TypeVar("Config", bound=Settings)


def known_splits(names: Sequence[str]) -> tuple[str, ...]:
    """Return splits in their usual order.

    Raises:
        ValueError: A name is no split's, or none is given.
    """
    unknown = sorted(set(names) - set(SPLITS))
    if unknown or not names:
        raise ValueError(f"no such split: {', '.join(unknown) or '(none)'}; there are {', '.join(SPLITS)}")
    return tuple(split for split in SPLITS if split in names)


def full_task_names(value: Any) -> Any:
    """Return the full names of tasks: `sa` is `sentiment_analysis`, "all" is all.

    Raises:
        ValueError: The value is no list of tasks, or names one that does not exist.
    """
    if value in ("all", ["all"], ("all",)):
        return task_names()
    if not isinstance(value, list | tuple):
        raise ValueError("give a list of tasks, e.g. [sa, cc]")
    long_names = {task.short_name: name for name, task in TASKS.items()}
    tasks = [long_names.get(name, name) for name in value]
    unknown = sorted({str(task) for task in tasks} - set(TASKS))
    if unknown or not tasks:
        known = ", ".join(f"{task.short_name} ({task.name})" for task in TASKS.values())
        raise ValueError(f"no such task: {', '.join(unknown) or '(none given)'}; there are {known}")
    return tuple(task for task in TASKS if task in tasks)


def known_captions(choice: str | None) -> str | None:
    """Return the name of captions as it was given; `none` names none.

    Raises:
        ValueError: It is neither `NAME` nor `NAME/JUDGE`.
    """
    if choice not in (None, "none") and parse_choice(choice) is None:
        raise ValueError(
            f"captions={choice}: give the name of captions, or NAME/JUDGE for those that a judge keeps"
        )
    return choice
