"""Figures by category, number of images, length of the text, need of the image, and instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.evaluation.intervals import estimate
from caslie_model.evaluation.records import PUBLISHED, Records, answer_of
from caslie_model.evaluation.units import Units
from caslie_model.inference.variants import UNSEEN
from mmecinstruct.tasks import TASKS

# Bounds of the length of all input texts, in characters.
TEXT_BOUNDS = (100, 300, 1000)
# More images are counted together.
MANY_IMAGES = 5
# Fewer samples are marked.
FEW_SAMPLES = 30

_NEEDS = {True: "needs image", False: "text suffices", None: "unknown"}


def text_length(sample: Sample) -> str:
    """Return the range that the length of a sample's input falls into, in characters."""
    length = sum(len(text) for field in sample.fields for text in field.texts)
    for low, high in pairwise((0, *TEXT_BOUNDS)):
        if length < high:
            return f"{low} to {high - 1}"
    return f"{TEXT_BOUNDS[-1]} or more"


def image_count(sample: Sample) -> str:
    """Return a sample's number of images."""
    count = len(sample.image_roles)
    return str(count) if count < MANY_IMAGES else f"{MANY_IMAGES} or more"


BREAKDOWNS: dict[str, Callable[[Sample], str]] = {
    "category": lambda sample: sample.category or "unknown",
    "images": image_count,
    "characters of text": text_length,
    "visual need": lambda sample: _NEEDS[sample.visual_critical],
}


def breakdowns(
    task: str, split: str, samples: Sequence[Sample], units: Units, records: Records
) -> list[dict[str, Any]]:
    """Return the figures of the groups of a task's split.

    Args:
        task: Full name of the task.
        split: Name of the split.
        samples: All evaluated samples of the split.
        units: Of these samples.
        records: Of predictions.

    Returns:
        A row for each value of each breakdown. The instruction is one where both kinds were asked; missing answers are
        wrong in either.
    """
    rows = []
    numbered = list(zip(samples, units.names, strict=True))
    for name, value_of in BREAKDOWNS.items():
        values = [value_of(sample) for sample, _ in numbered]
        for value in sorted(set(values), key=_sort_key):
            chosen = [pair for pair, other in zip(numbered, values, strict=True) if other == value]
            rows.append(_row(task, split, name, value, chosen, records, PUBLISHED))
    asked = [pair for pair in numbered if (pair[0].id, UNSEEN) in records]
    for value, variant in (("seen", PUBLISHED), ("held out", UNSEEN)):
        if asked:
            rows.append(_row(task, split, "instruction", value, asked, records, variant))
    return rows


def _row(
    task: str,
    split: str,
    name: str,
    value: str,
    chosen: Sequence[tuple[Sample, str]],
    records: Records,
    variant: str,
) -> dict[str, Any]:
    gold = [sample.output for sample, _ in chosen]
    answers = [answer_of(records, sample, variant) for sample, _ in chosen]
    labels = tuple(sorted({label for sample, _ in chosen for label in sample.labels}))
    units = [unit for _, unit in chosen]
    metric = TASKS[task].metric
    found = estimate(metric, gold, answers, labels, units)
    right = estimate("accuracy", gold, answers, labels, units)
    return {
        "task": task,
        "split": split,
        "by": name,
        "value": value,
        "samples": len(chosen),
        "units": found.units,
        "metric": metric,
        "primary": found.value,
        "primary_interval": list(found.interval),
        "accuracy": right.value,
        "accuracy_interval": list(right.interval),
        "few": len(chosen) < FEW_SAMPLES,
    }


def _sort_key(value: str) -> tuple[int, str]:
    """Return a key that sorts numbers by size."""
    number = value.partition(" ")[0]
    return (int(number) if number.isdigit() else 0, value)
