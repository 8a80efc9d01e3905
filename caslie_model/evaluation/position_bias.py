"""Position bias: the same samples answered with their options in other orders."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caslie_model.data.samples import Sample
from caslie_model.evaluation.intervals import estimate_share
from caslie_model.evaluation.records import PUBLISHED, Records, answer_of, is_not_finite
from caslie_model.evaluation.units import sample_units

_ORDER = re.compile(r"order (\d+)")


def position_bias(samples: Sequence[Sample], records: Records) -> list[dict[str, Any]]:
    """Return, for each task and split, how far answers follow the place of an option instead of its words.

    Args:
        samples: The evaluated samples.
        records: Of predictions: of variant "", and "order 1", "order 2", … with `asked`, the letter that was answered,
            and `order`, the published letters in the order asked.

    Returns:
        A row for each task and split whose samples were asked in other orders: accuracy of each order (`published` is
        variant ""), share of samples with one answer in all orders, and how often each letter was right and given.
        Missing answers are wrong, and unstable. Samples of few options have fewer orders, and are in these only.
    """
    numbers = {}
    for _, variant in records:
        if match := _ORDER.fullmatch(variant):
            numbers[variant] = int(match[1])
    rows = []
    for task, split in dict.fromkeys((sample.task, sample.split) for sample in samples):
        whole = [sample for sample in samples if (sample.task, sample.split) == (task, split)]
        asked = {
            v: number
            for v, number in sorted(numbers.items(), key=lambda pair: pair[1])
            if any((s.id, v) in records for s in whole)
        }
        if asked:
            rows.append({"task": task, "split": split, **_row(task, whole, records, asked)})
    return rows


def _row(task: str, whole: Sequence[Sample], records: Records, asked: Mapping[str, int]) -> dict[str, Any]:
    units = sample_units(task, whole)
    pairs = [
        (sample, unit)
        for sample, unit in zip(whole, units.names, strict=True)
        if any((sample.id, variant) in records for variant in asked)
    ]
    names = [unit for _, unit in pairs]
    chosen = [sample for sample, _ in pairs]
    variants = {PUBLISHED: 0, **asked}
    orders: list[dict[str, Any]] = []
    stable = np.ones(len(chosen), dtype=bool)
    first = [answer_of(records, sample, PUBLISHED) for sample in chosen]
    for variant, number in variants.items():
        answers = [answer_of(records, sample, variant) for sample in chosen]
        has = np.array([number < math.factorial(len(sample.labels)) for sample in chosen])
        same = [answer is not None and answer == one for answer, one in zip(answers, first, strict=True)]
        stable &= same | ~has
        right = np.array([a == s.output for a, s in zip(answers, chosen, strict=True)])
        found = estimate_share(right[has], np.asarray(names)[has].tolist())
        orders.append(
            {
                "order": variant or "published",
                "samples": int(has.sum()),
                "accuracy": found.value,
                "accuracy_interval": list(found.interval),
            }
        )
    accuracies = [order["accuracy"] for order in orders]
    stability = estimate_share(stable, names)
    return {
        "samples": len(chosen),
        "unit": units.kind,
        "units": stability.units,
        "orders": orders,
        "accuracy_spread": max(accuracies) - min(accuracies),
        "stable": stability.value,
        "stable_interval": list(stability.interval),
        **_letters(chosen, records, tuple(variants)),
    }


def _letters(chosen: Sequence[Sample], records: Records, variants: Sequence[str]) -> dict[str, Any]:
    """Return how often each letter was right and given, over all orders, of answers that are a letter."""
    right, given, hit = Counter[str](), Counter[str](), Counter[str]()
    for sample in chosen:
        for variant in variants:
            record = records.get((sample.id, variant))
            if record is None or record["prediction"] is None or is_not_finite(record):
                continue
            order = list(record.get("order") or sample.labels)
            place = order.index(sample.output)
            letter = sample.labels[place]
            answered = record.get("asked") or sample.labels[order.index(record["prediction"])]
            right[letter] += 1
            given[answered] += 1
            hit[letter] += answered == letter
    total = right.total()
    letters = sorted({*right, *given})
    recalls = [hit[letter] / right[letter] for letter in letters if right[letter]]
    return {
        "answers": total,
        "letters": {
            letter: {
                "right": right[letter] / total,
                "given": given[letter] / total,
                "recall": hit[letter] / right[letter] if right[letter] else None,
            }
            for letter in letters
        },
        "letter_distance": sum(abs(right[x] - given[x]) for x in letters) / (2 * total) if total else None,
        "recall_deviation": float(np.std(recalls)) if recalls else None,
    }
