"""The figures of captions: what they state of an attribute, beside a guesser and captions of other products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from caslie_model.evaluation.caption_questions import Asked
from caslie_model.evaluation.intervals import difference_interval, mean_interval
from caslie_model.evaluation.metrics import Floats
from caslie_model.evaluation.sections import figure, interval
from mmecinstruct.reporting.tables import Column, Row, Table

# What a caption states of an attribute; None: the reader gave no answer that could be read.
Stated: TypeAlias = frozenset[str] | None


def attribute_figures(
    asked: Sequence[Asked], stated: Sequence[Stated], units: Mapping[str, str]
) -> dict[str, Any]:
    """Return the figures of one attribute: means over units, with intervals over units.

    Args:
        asked: What was asked, of products' own captions and of others.
        stated: What each caption states.
        units: The unit of each product.

    Returns:
        The figures by name, as metrics.json has them.
    """
    own, others, told = (
        [(each, states) for each, states in zip(asked, stated, strict=True) if each.control == control]
        for control in ("", "blind", "told")
    )
    recall, blind = _unit_means(own, units, is_right), _unit_means(others, units, is_right)
    right = {each.product: each.right for each, _ in own}
    frequent, share = _most_frequent(right, units)
    both = sorted(recall.keys() & blind.keys())
    differences = np.array([recall[unit] - blind[unit] for unit in both])
    return {
        "products": len(right),
        "units": len(recall),
        "recall": _figure(recall),
        "wrong": _figure(_unit_means(own, units, _is_wrong)),
        "not_stated": _figure(_unit_means(own, units, lambda _, states: float(not states))),
        "false_statements": _figure(_unit_means(own, units, _false_share)),
        "most_frequent": {"value": frequent, "recall": share},
        "told": {"recall": _figure(_unit_means(told, units, is_right))},
        "blind": {
            "recall": _figure(blind),
            "false_statements": _figure(_unit_means(others, units, _false_share)),
        },
        "above_blind": {
            "value": float(differences.mean()) if both else None,
            "interval": list(difference_interval(differences, both)) if both else None,
        },
        "unread": sum(states is None for _, states in own),
    }


def is_right(each: Asked, states: frozenset[str]) -> float:
    """Return 1 for a caption that states a right value, else 0.

    Args:
        each: What was asked.
        states: What the caption states.
    """
    return float(bool(states & each.right))


def _is_wrong(each: Asked, states: frozenset[str]) -> float:
    return float(bool(states) and not states & each.right)


def _false_share(each: Asked, states: frozenset[str]) -> float | None:
    """Return which share of the stated values are not the product's; None where none is stated."""
    return len(states - each.right) / len(states) if states else None


def _unit_means(
    answers: Iterable[tuple[Asked, Stated]],
    units: Mapping[str, str],
    measure: Callable[[Asked, frozenset[str]], float | None],
) -> dict[str, float]:
    """Return the mean of each unit over its captions, each as often as samples show it."""
    sums: dict[str, float] = defaultdict(float)
    times: dict[str, int] = defaultdict(int)
    for each, states in answers:
        value = measure(each, states or frozenset())
        if value is not None:
            unit = units[each.product]
            sums[unit] += value * each.caption.times
            times[unit] += each.caption.times
    return {unit: sums[unit] / times[unit] for unit in sums}


def _most_frequent(right: Mapping[str, frozenset[str]], units: Mapping[str, str]) -> tuple[str, float]:
    """Return the value that a guesser without captions is most often right with, and how often."""
    members: dict[str, list[frozenset[str]]] = defaultdict(list)
    for product, values in right.items():
        members[units[product]].append(values)
    shares: dict[str, float] = defaultdict(float)
    for several in members.values():
        for values in several:
            for value in values:
                shares[value] += 1 / len(several)
    value = min(shares, key=lambda name: (-shares[name], name))
    return value, shares[value] / len(members)


def _figure(means: Mapping[str, float]) -> dict[str, Any]:
    values: Floats = np.array([means[unit] for unit in sorted(means)])
    if not len(values):
        return {"value": None, "interval": None, "units": 0}
    return {"value": float(values.mean()), "interval": list(mean_interval(values)), "units": len(values)}


def quality_table(metrics: Mapping[str, Any]) -> Table:
    """Return the figures as a table.

    Args:
        metrics: The content of metrics.json.
    """
    columns = (
        Column("attribute", is_text=True),
        Column("units", is_detail=True),
        Column("values", is_detail=True),
        Column("recall"),
        Column("95 %"),
        Column("wrong"),
        Column("not\nstated"),
        Column("false\nstatements"),
        Column("told"),
        Column("most\nfrequent", is_detail=True),
        Column("blind\nrecall"),
        Column("above\nblind"),
        Column("95 %", is_detail=True),
    )
    rows = [
        Row(
            (
                name,
                str(each["units"]),
                str(each["values"]),
                figure(each["recall"]["value"]),
                interval(each["recall"]["interval"]),
                figure(each["wrong"]["value"]),
                figure(each["not_stated"]["value"]),
                figure(each["false_statements"]["value"]),
                figure(each["told"]["recall"]["value"]),
                figure(each["most_frequent"]["recall"]),
                figure(each["blind"]["recall"]["value"]),
                figure(each["above_blind"]["value"]),
                interval(each["above_blind"]["interval"]) if each["above_blind"]["interval"] else "–",
            )
        )
        for name, each in metrics["attributes"].items()
    ]
    note = (
        "recall: captions that state a right value. wrong: that state other values alone. false statements: stated "
        "values that are not the product's. told: recall of a sentence that says the right value, the most that this "
        "reader can reach. most frequent: recall of a guesser who always names that value. blind: the same questions "
        "with captions of other products. Units are products; those with one image are one."
    )
    return Table(f"{metrics['captions']}, read by {metrics['reader']}", columns, rows, note)
