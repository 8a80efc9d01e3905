"""Check the rules of one published sample.

    task                                input                   options    output    images, in order
    answerability_prediction            question, document?     none       yes | no  product
    category_classification             title                   2 or more  letter    product
    product_relation_prediction         product 1, product 2    A to C     letter    product 1, product 2
    product_substitute_identification   query, product title    none       yes | no  product
    multiclass_product_classification   query, product title    A to D     letter    product
    sentiment_analysis                  review                  A to E     letter    review or product
    sequential_recommendation           list of "1st: …"        2 or more  letter    history n, option X

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

# Machine-readable reason, detail for a person.
Found = tuple[str, str]

YES_NO_TASKS = ("answerability_prediction", "product_substitute_identification")
SEQUENTIAL = "sequential_recommendation"

# Keys of the input object, required and optional.
_INPUT_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "answerability_prediction": (("question",), ("document",)),
    "category_classification": (("title",), ()),
    "product_relation_prediction": (("product 1", "product 2"), ()),
    "product_substitute_identification": (("query", "product title"), ()),
    "multiclass_product_classification": (("query", "product title"), ()),
    "sentiment_analysis": (("review",), ()),
}
_OPTION_COUNTS = {
    "product_relation_prediction": 3,
    "multiclass_product_classification": 4,
    "sentiment_analysis": 5,
}
_NULLABLE = {
    *("category", "instruction_unseen", "instruction_unseen_id", "images"),
    *("visual_critical", "text_only_accuracy"),
}
_LISTS = (
    *("options", "images", "image_roles", "image_urls", "image_ids", "image_product_ids", "product_ids"),
)
_EMBEDDED = PublishedImages()


def row_problems(
    row: Mapping[str, Any], task: str, split: str, images: PublishedImages = _EMBEDDED
) -> Iterator[Found]:
    """Yield the problems of one sample; images are not decoded.

    Args:
        row: The published columns as Python values, `images` as dictionaries of bytes and path.
        task: The task of the shard.
        split: The split of the shard.
        images: How the folder publishes images.

    Yields:
        (machine-readable reason, detail for a person).
    """
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
    if row["task"] != task:
        yield "task_differs", f"task is {row['task']!r}, the file's {task!r}"
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
    answers = ["yes", "no"] if task in YES_NO_TASKS else letters
    if row["output"] not in answers and not wrong_options:
        yield "answer_not_an_option", f"output {row['output']!r} is none of {', '.join(answers)}"
    if task == SEQUENTIAL and (wrong_input or wrong_options):
        yield from _image_problems(row, None, images)
    else:
        yield from _image_problems(row, _legal_roles(task, items, letters), images)
    yield from _group_problems(row, task)


def _instruction_problems(row: Mapping[str, Any], split: str) -> Iterator[Found]:
    unseen, unseen_id = row["instruction_unseen"], row["instruction_unseen_id"]
    if (unseen is None) != (unseen_id is None):
        yield "instruction_unseen", "instruction_unseen and instruction_unseen_id go together"
    elif unseen is not None and split in (TRAIN, VALIDATION):
        yield "instruction_unseen", f"a {split} row has a held-out instruction"
    elif unseen is None and split in (TEST, TEST_OOD):
        yield "instruction_unseen", f"a {split} row lacks the held-out instruction"


def _check_input(text: str, task: str) -> tuple[list[Found], int]:
    """Return the problems of the input, and the number of items of a sequence."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [("input_not_json", str(error))], 0
    if task == SEQUENTIAL:
        if not isinstance(value, list) or not value:
            return [("input_shape", "not a list of items")], 0
        for number, item in enumerate(value, start=1):
            start = f"{ordinal(number)}: "
            if not isinstance(item, str) or not item.startswith(start) or not item[len(start) :].strip():
                return [("input_shape", f"item {number} is not a text '{start}…'")], len(value)
        return [], len(value)
    if not isinstance(value, dict):
        return [("input_shape", "not an object")], 0
    required, optional = _INPUT_KEYS[task]
    if not set(required) <= set(value) <= {*required, *optional}:
        expected = f"expected {list(required)}, optional {list(optional)}"
        return [("input_shape", f"keys {sorted(value)}; {expected}")], 0
    for key, entry in value.items():
        # A document is a list of snippets; elsewhere it is often one text.
        texts = entry if key == "document" and isinstance(entry, list) and entry else [entry]
        if any(not isinstance(text, str) or (key in required and not text.strip()) for text in texts):
            return [("input_shape", f"no text in {key}")], 0
    return [], 0


def _check_options(options: list[str], task: str) -> tuple[list[Found], list[str]]:
    """Return the problems of the options, and the letters of the valid ones."""
    if task in YES_NO_TASKS:
        return [("options", "a yes/no task has no options")] if options else [], []
    found: list[Found] = []
    count = _OPTION_COUNTS.get(task)
    if not 2 <= len(options) <= 26 or (count and len(options) != count):
        found.append(("options", f"{len(options)} options; expected {count or '2 to 26'}"))
    letters: list[str] = []
    texts = set()
    for letter, option in zip(string.ascii_uppercase, options, strict=False):
        text = option[3:].strip()
        if not option.startswith(f"{letter}: ") or not text:
            return [*found, ("options", f"{option[:60]!r} is not '{letter}: …'")], letters
        # Candidates of a recommendation may have equal titles; their images differ.
        if text in texts and task != SEQUENTIAL:
            found.append(("options", f"{text[:60]!r} occurs twice"))
        texts.add(text)
        letters.append(letter)
    return found, letters


def _legal_roles(task: str, items: int, letters: list[str]) -> list[str]:
    """Return the roles that a sample of the task may have, in order."""
    if task == "product_relation_prediction":
        return ["product 1", "product 2"]
    if task == "sentiment_analysis":
        return ["review", "product"]
    if task == SEQUENTIAL:
        history = [f"history {number}" for number in range(1, items + 1)]
        return history + [f"option {letter}" for letter in letters]
    return ["product"]


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


def _group_problems(row: Mapping[str, Any], task: str) -> Iterator[Found]:
    groups = row["group_ids"]
    missing = []
    if not row["product_ids"]:
        missing.append("product_ids")
    if not groups["products"]:
        missing.append("group_ids.products")
    if task == SEQUENTIAL and groups["user"] is None:
        missing.append("group_ids.user")
    if (
        task in ("product_substitute_identification", "multiclass_product_classification")
        and not groups["query"]
    ):
        missing.append("group_ids.query")
    if missing:
        yield "group_missing", f"{', '.join(missing)}: nothing proves that splits share no record"
