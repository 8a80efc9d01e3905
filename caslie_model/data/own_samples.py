"""Samples of a person's own products: worded as a dataset words them, by the same templates, without a right answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.config.choices import full_task_names
from caslie_model.data.answers import split_options
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample, parse_input, read_columns
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.templating import compiled, rendered
from mmecinstruct.schemas.samples import TRAIN
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.render import input_name, instruction_name, options_name, render_input
from mmecinstruct.tasks.task import AnyTask

# The split of these samples, which no dataset has.
OWN = "own"
# Options of one question have letters.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What the input of a task without named fields is made of.
HISTORY = "history"

Input = dict[str, Any] | list[str]


def own_task(name: str) -> AnyTask:
    """Return a task by its full or short name.

    Raises:
        ConfigError: There is no such task.
    """
    try:
        (found,) = full_task_names([name])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return TASKS[found]


def own_input(task: AnyTask, texts: Mapping[str, Sequence[str]]) -> Input:
    """Return the input of a question from texts by what they are.

    Args:
        task: The task.
        texts: Titles, queries, questions and reviews, or the history, by `title`, `query`, ….

    Returns:
        An object of the task's fields, or the list of a history.

    Raises:
        ConfigError: A text is missing, or the task asks about no such text.
    """
    left = {
        unit: [text for each in given if (text := " ".join(each.split()))] for unit, given in texts.items()
    }
    content: Input
    if task.row.fields is None:
        content = left.pop(HISTORY, [])
        if not content:
            raise ConfigError(f"{task.short_name} asks about a {HISTORY}: give its titles, the oldest first")
    else:
        content = {}
        for name, field in task.row.fields.items():
            given = left.get(field.unit, [])
            if field.many:
                content[name] = left.pop(field.unit, [])
            elif given:
                content[name] = given.pop(0)
            elif field.required:
                raise ConfigError(f"{task.short_name} asks about a {name}: give a {field.unit}")
    for unit, given in left.items():
        if given:
            raise ConfigError(
                f"{task.short_name} ({task.name}) does not ask about the {unit} '{given[0][:80]}'; leave it out"
            )
    return content


def own_options(task: AnyTask, options: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a question, each once: those given, or those that the task has for all samples.

    Args:
        task: The task.
        options: The words of each option; none for a task with its own answers.

    Returns:
        Their words; none for yes/no.

    Raises:
        ConfigError: The task has its own answers, an option has no words, or fewer than two are given.
    """
    if task.labels is not None:
        if options:
            raise ConfigError(f"{task.short_name} has its own answers ({task.answer}): leave the options out")
        if task.is_yes_no:
            return ()
        return tuple(
            text
            for line in rendered(compiled(options_name(task.name)), {}).splitlines()
            if (text := line.strip())
        )
    words = [" ".join(option.split()) for option in options]
    if "" in words:
        raise ConfigError(f"option {words.index('') + 1} of {len(words)} has no words")
    distinct = tuple(dict.fromkeys(words))
    if len(distinct) < 2:
        raise ConfigError(
            f"{task.short_name} chooses among options: give two different ones or more, not {len(distinct)}"
        )
    return distinct


def own_sample(
    task: AnyTask, content: Input, options: Sequence[str] = (), images: Sequence[SampleImage] = ()
) -> Sample:
    """Return a question as a sample, in the words of the task's base instruction.

    Its id is a hash of all that is asked: the same question has the same id, a changed one another.

    Args:
        task: The task.
        content: The input, from `own_input`.
        options: The words of at most 26 options; none for yes/no.
        images: Its images.

    Returns:
        The sample, with "" for the right answer.

    Raises:
        DatasetError: The input is too long.
        RenderError: A template is missing.
    """
    shown = {image.role for image in images}
    lacking = not isinstance(content, list) and any(
        role in content and role not in shown for role in task.row.roles
    )
    wording = "none" if not images else "some" if lacking else "all"
    name = f"{OWN}-{fingerprint([task.name, content, list(options), [[i.role, i.key] for i in images]])[:20]}"
    text = render_input(
        compiled(input_name(task.name)), json.dumps(content, ensure_ascii=False, sort_keys=True), name
    )
    return Sample(
        id=name,
        task=task.name,
        split=OWN,
        category="",
        instruction=rendered(compiled(instruction_name(task.name, 0)), {"images": wording}),
        instruction_unseen=None,
        fields=parse_input(text, name),
        options=dict(zip(LETTERS, options, strict=False)),
        output="",
        visual_critical=None,
        text_only_accuracy=None,
        image_roles=tuple(image.role for image in images),
    )


def image_roles(task: AnyTask, content: Input, options: Sequence[str]) -> tuple[str, ...]:
    """Return the roles that the images of a question may have, in their order."""
    roles: list[str] = []
    for role in task.row.roles:
        if role == HISTORY:
            roles += [f"{HISTORY} {number}" for number in range(1, len(content) + 1)]
        elif role == "option":
            roles += [f"option {letter}" for letter, _ in zip(LETTERS, options, strict=False)]
        else:
            roles.append(role)
    return tuple(roles)


def training_options(data: str, task: AnyTask) -> tuple[tuple[str, ...], int]:
    """Return the options of a dataset's training split.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: The task.

    Returns:
        The words of all options in alphabetical order, and how many the largest question has.

    Raises:
        DatasetError: There is no such dataset, or it has no options of the task.
    """
    counts: Counter[str] = Counter()
    most = 0
    for row in read_columns(data, task.name, TRAIN, ("id", "options")):
        options = split_options(row["options"] or (), row["id"])
        counts.update(text for text in options.values() if text)
        most = max(most, len(options))
    if len(counts) < 2:
        raise DatasetError(
            f"{data} has no options of {task.name} in its training split; give the options yourself, or a "
            "dataset that has"
        )
    return tuple(sorted(counts, key=lambda text: (text.casefold(), text))), most
