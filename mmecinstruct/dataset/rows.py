"""Check the rules of one published sample.

The task's `labels` and `row` describe its rows: input, options, answers, images.

A missing image has no role. In a folder that references its images each image is null, and where they were not read
their ids are null as well.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping
from typing import Any

from mmecinstruct.core.templating import ordinal
from mmecinstruct.dataset.published_images import PublishedImages
from mmecinstruct.schemas.samples import TEST, TEST_OOD, TRAIN, VALIDATION
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import YES_NO, AnyTask

# Machine-readable reason, detail for a person.
Found = tuple[str, str]

_NULLABLE = {
    *("category", "instruction_unseen", "instruction_unseen_id", "images"),
    *("visual_critical", "text_only_accuracy"),
}
_LISTS = (
    *("options", "images", "image_roles", "image_urls", "image_ids", "image_product_ids", "product_ids"),
)
_EMBEDDED = PublishedImages()


def row_problems(
    row: Mapping[str, Any], task_name: str, split: str, images: PublishedImages = _EMBEDDED
) -> Iterator[Found]:
    """Yield the problems of one sample; images are not decoded.

    Args:
        row: The published columns as Python values, `images` as dictionaries of bytes and path.
        task_name: The full name of the task of the shard.
        split: The split of the shard.
        images: How the folder publishes images.

    Yields:
        (machine-readable reason, detail for a person).
    """
    task = TASKS[task_name]
    may_hold_nulls = {"images"} if images.read else {"images", "image_ids"}
    gaps = [name for name, value in row.items() if value is None and name not in _NULLABLE]
    gaps += [name for name in _LISTS if name not in may_hold_nulls and row[name] and None in row[name]]
    if row["images"] is None:
        gaps.append("images")
    if gaps:
        yield "value_missing", f"null in {', '.join(gaps)}"
        return
    empty = [name for name in ("id", "source", "instruction", "instruction_id") if not row[name].strip()]
    if empty:
        yield "value_missing", f"empty {', '.join(empty)}"
    if row["task"] != task.name:
        yield "task_differs", f"task is {row['task']!r}, the file's {task.name!r}"
    if row["split"] != split:
        yield "split_differs", f"split is {row['split']!r}, the file's {split!r}"
    setting = "OOD" if split == TEST_OOD else "IND"
    if row["setting"] != setting:
        yield "setting_differs", f"setting is {row['setting']!r}; {split} is {setting}"
    accuracy = row["text_only_accuracy"]
    if accuracy is not None and not 0 <= accuracy <= 1:
        yield "text_only_accuracy", f"{accuracy} is not from 0 to 1"
    yield from _instruction_problems(row, split)
    wrong_input, items = _check_input(row["input"], task)
    wrong_options, letters = _check_options(row["options"], task)
    yield from (*wrong_input, *wrong_options)
    # Each fault is reported once: fields that depend on a broken input or broken options are not checked.
    answers = YES_NO if task.is_yes_no else letters
    if row["output"] not in answers and not wrong_options:
        yield "answer_not_an_option", f"output {row['output']!r} is none of {', '.join(answers)}"
    roles = _legal_roles(task, items, letters)
    numbered = not {"history", "option"}.isdisjoint(task.row.roles)
    yield from _image_problems(row, None if numbered and (wrong_input or wrong_options) else roles, images)
    yield from _group_problems(row, task)


def _instruction_problems(row: Mapping[str, Any], split: str) -> Iterator[Found]:
    unseen, unseen_id = row["instruction_unseen"], row["instruction_unseen_id"]
    if (unseen is None) != (unseen_id is None):
        yield "instruction_unseen", "instruction_unseen and instruction_unseen_id go together"
    elif unseen is not None and split in (TRAIN, VALIDATION):
        yield "instruction_unseen", f"a {split} row has a held-out instruction"
    elif unseen is None and split in (TEST, TEST_OOD):
        yield "instruction_unseen", f"a {split} row lacks the held-out instruction"


def _check_input(text: str, task: AnyTask) -> tuple[list[Found], int]:
    """Return the problems of the input, and the number of items of a sequence."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [("input_not_json", str(error))], 0
    fields = task.row.fields
    if fields is None:
        if not isinstance(value, list) or not value:
            return [("input_shape", "not a list of items")], 0
        for number, item in enumerate(value, start=1):
            start = f"{ordinal(number)}: "
            if not isinstance(item, str) or not item.startswith(start) or not item[len(start) :].strip():
                return [("input_shape", f"item {number} is not a text '{start}…'")], len(value)
        return [], len(value)
    if not isinstance(value, dict):
        return [("input_shape", "not an object")], 0
    required = [name for name, field in fields.items() if field.required]
    if not set(required) <= set(value) <= set(fields):
        expected = f"expected {required}, optional {[name for name in fields if name not in required]}"
        return [("input_shape", f"keys {sorted(value)}; {expected}")], 0
    for key, entry in value.items():
        texts = entry if fields[key].many and isinstance(entry, list) and entry else [entry]
        if any(not isinstance(text, str) or (fields[key].required and not text.strip()) for text in texts):
            return [("input_shape", f"no text in {key}")], 0
    return [], 0


def _check_options(options: list[str], task: AnyTask) -> tuple[list[Found], list[str]]:
    """Return the problems of the options, and the letters of the valid ones."""
    if task.is_yes_no:
        return [("options", "a yes/no task has no options")] if options else [], []
    found: list[Found] = []
    count = len(task.labels or ())
    if not 2 <= len(options) <= 26 or (count and len(options) != count):
        found.append(("options", f"{len(options)} options; expected {count or '2 to 26'}"))
    letters: list[str] = []
    texts = set()
    for letter, option in zip(string.ascii_uppercase, options, strict=False):
        text = option[3:].strip()
        if not option.startswith(f"{letter}: ") or not text:
            return [*found, ("options", f"{option[:60]!r} is not '{letter}: …'")], letters
        # Candidates of a recommendation may have equal titles; their images differ.
        if text in texts and not task.row.options_are_products:
            found.append(("options", f"{text[:60]!r} occurs twice"))
        texts.add(text)
        letters.append(letter)
    return found, letters


def _legal_roles(task: AnyTask, items: int, letters: list[str]) -> list[str]:
    """Return the roles that a sample of the task may have, in order."""
    several = {
        "history": [f"history {number}" for number in range(1, items + 1)],
        "option": [f"option {letter}" for letter in letters],
    }
    return [role for name in task.row.roles for role in several.get(name, [name])]


def _image_problems(
    row: Mapping[str, Any], legal: list[str] | None, images: PublishedImages
) -> Iterator[Found]:
    """Check the image columns; legal: the possible roles in order, None where they are not known."""
    roles = row["image_roles"]
    lengths = {
        name: len(row[name])
        for name in ("images", "image_roles", "image_urls", "image_ids", "image_product_ids")
    }
    if len(set(lengths.values())) > 1:
        yield "images_not_aligned", ", ".join(f"{name} {length}" for name, length in lengths.items())
        return
    if legal is not None:
        unknown = [role for role in roles if role not in legal]
        if unknown:
            yield (
                "image_roles",
                f"{unknown[0]!r} is not a role of this task; roles are {', '.join(legal[:12])}",
            )
        elif [role for role in legal if role in roles] != roles:
            yield "image_roles", f"{', '.join(roles)}: a role occurs twice or out of order"
    if images.read and not all(row["image_ids"]):
        yield "image_id_missing", "an image id is empty"
    if not images.embedded and not all(row["image_urls"]):
        yield "image_url_missing", "the URL of a referenced image is empty"


def _group_problems(row: Mapping[str, Any], task: AnyTask) -> Iterator[Found]:
    groups = row["group_ids"]
    if "groups" in groups and groups["groups"] is None:
        yield "value_missing", "null in group_ids.groups"
    missing = []
    if not row["product_ids"]:
        missing.append("product_ids")
    if not groups["products"]:
        missing.append("group_ids.products")
    if "user" in task.not_shared and groups["user"] is None:
        missing.append("group_ids.user")
    if "query" in task.not_shared and not groups["query"]:
        missing.append("group_ids.query")
    if missing:
        yield "group_missing", f"{', '.join(missing)}: nothing proves that splits share no record"
