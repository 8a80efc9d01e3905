"""Find samples of a task that ask the same.

Two samples ask the same where their inputs have the same words and their images the same pixels; options do not count,
nor does the order of two related products.
Of those that also have the same answer the first by hash stays. Where the answers differ, none stays: the input does
not decide between them. A text that a user wrote under several products, such as one review under all variants, counts
once even where the products' images differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.splits.assign import STAGE
from mmecinstruct.splits.contents import ImageHashes, input_texts
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.words import normalised_text

_OPTION = "option"


def reject_repeats(
    samples: Sequence[Mapping[str, Any]],
    splits: list[str | None],
    task: str,
    images: ImageHashes,
    seed: int,
) -> list[Rejection]:
    """Take their split from samples that ask what another one asks; return a rejection for each.

    Reasons: duplicate_input, contradicting_input.

    Args:
        samples: Rows with id, fields, options, output, user_id, image_roles, image_urls.
        splits: The split of each sample, None for a rejected one.
        task: The task's name.
        images: The images of all samples.
        seed: The recipe's seed.
    """
    rejections = []

    def reject(position: int, reason: str, detail: str) -> None:
        splits[position] = None
        rejections.append(Rejection(STAGE, reason, detail, "", str(samples[position]["id"]), task))

    questions = {
        position: _question(samples[position], task, images)
        for position, split in enumerate(splits)
        if split is not None
    }
    by_hash = sorted(
        questions,
        key=lambda position: (
            hash_draw(seed, "duplicate", task, samples[position]["id"]),
            samples[position]["id"],
        ),
    )
    for positions in _groups({at: questions[at] for at in by_hash}):
        answers = {_answer(samples[position]) for position in positions}
        first = samples[positions[0]]["id"]
        if len(answers) > 1:
            for position in positions:
                other = first if position != positions[0] else samples[positions[1]]["id"]
                reject(position, "contradicting_input", f"{len(answers)} answers to the input of {other}")
        else:
            for position in positions[1:]:
                reject(position, "duplicate_input", f"input and answer of {first}")
    if not TASKS[task].splits_by_user:
        written = {
            position: (questions[position][0], samples[position]["user_id"], _answer(samples[position]))
            for position in by_hash
            if splits[position] is not None and samples[position]["user_id"] is not None
        }
        for positions in _groups(written):
            for position in positions[1:]:
                first = samples[positions[0]]["id"]
                reject(position, "duplicate_input", f"text and answer of {first}, by the same user")
    return rejections


def _groups(keys: Mapping[int, Hashable]) -> list[list[int]]:
    """Return the positions with equal keys where there are several, in their order."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in keys.items():
        groups[key].append(position)
    return [positions for positions in groups.values() if len(positions) > 1]


def _question(
    sample: Mapping[str, Any], task: str, images: ImageHashes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the normalised texts of a sample's input, and its images without those of options."""
    # A text without words, such as a smiley, is what it is.
    texts = tuple(normalised_text(text) or text.strip() for text in input_texts(task, sample["fields"]))
    shown = {
        role: images.key(url)
        for role, url in zip(sample["image_roles"], sample["image_urls"], strict=True)
        if not role.startswith(_OPTION)
    }
    row = TASKS[task].row
    if not row.any_order:
        return texts, tuple(shown.values())
    pairs = sorted(zip(texts, (shown.get(role, "") for role in row.roles), strict=True))
    return tuple(text for text, _ in pairs), tuple(image for _, image in pairs)


def _answer(sample: Mapping[str, Any]) -> str:
    """Return the text of the answer: letters of own options mean something else in every sample."""
    options: list[str] = sample["options"]
    output = str(sample["output"])
    return options[ord(output) - ord("A")] if options else output
