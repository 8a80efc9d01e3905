"""Tables beside the main one: option scores, breakdowns, what images did, position bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from caslie_model.evaluation.breakdowns import FEW_SAMPLES
from caslie_model.evaluation.compare_tables import signed
from caslie_model.evaluation.ranking import RECALL_AT
from mmecinstruct.tasks import TASKS

PART_NAMES = {"all": "all", "visual_critical": "needs image", "not_visual_critical": "text suffices"}


@dataclass(frozen=True, slots=True)
class Section:
    """A table.

    Attributes:
        title: Its heading.
        columns: Names of columns.
        texts: How many of the first columns hold text.
        rows: Cells.
        notes: What its columns mean.
        fewer: Indices of the columns for a narrow terminal; none: all.
        fewest: Indices of the columns for a narrower one; none: as `fewer`.
    """

    title: str
    columns: tuple[str, ...]
    texts: int
    rows: list[tuple[str, ...]]
    notes: str
    fewer: tuple[int, ...] = ()
    fewest: tuple[int, ...] = ()

    def narrowed(self, fewest: bool = False) -> Section:
        """Return the table with the columns for a narrow terminal.

        Args:
            fewest: With those for a still narrower one.
        """
        kept = (self.fewest if fewest else ()) or self.fewer or tuple(range(len(self.columns)))
        rows = [tuple(cells[index] for index in kept) for cells in self.rows]
        return replace(self, columns=tuple(self.columns[index] for index in kept), rows=rows)


def figure(value: float | None) -> str:
    """Return a figure of three decimals."""
    return "–" if value is None else f"{value:.3f}"


def interval(bounds: Sequence[float]) -> str:
    """Return an interval of three decimals."""
    return f"{bounds[0]:.3f}–{bounds[1]:.3f}"


def ways_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the tables of samples that were asked in several ways: other images, orders of options, instructions.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Those that there is something to show in.
    """
    captions = metrics.get("provenance", {}).get("captions")
    found = [
        _image_use(metrics.get("image_use", ()), captions),
        _position_bias(metrics.get("position_bias", ())),
    ]
    found.append(_instructions(metrics.get("breakdowns", ())))
    return [section for section in found if section.rows]


def all_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """Return all tables beside the main one.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Those that there is something to show in.
    """
    others = [_ranking(metrics["results"]), _letters(metrics.get("position_bias", ()))]
    shown = [section for section in others if section.rows]
    rest = _breakdowns(metrics.get("breakdowns", ()))
    return [*ways_sections(metrics), *shown, *([rest] if rest.rows else [])]


def _name(row: Mapping[str, Any]) -> tuple[str, str]:
    return TASKS[row["task"]].short_name, row["split"]


def _image_use(rows: Sequence[Mapping[str, Any]], captions: str | None) -> Section:
    return Section(
        "What the images and their captions did" if captions else "What the images did",
        (
            *("task", "split", "instead", "n", "units", "helpful", "harmful", "redundant", "no use"),
            *("own", "instead", "gain", "95 %"),
        ),
        3,
        [
            (
                *_name(row),
                row["other_images"],
                *(
                    str(row[name])
                    for name in ("samples", "units", "helpful", "harmful", "redundant", "no_use")
                ),
                *(figure(row[name]) for name in ("accuracy_own", "accuracy_other")),
                signed(row["difference"]),
                " to ".join(map(signed, row["difference_interval"])),
            )
            for row in rows
        ],
        "helpful: right with the own images, wrong with those given instead; harmful: the reverse; redundant: right "
        "in both; no use: wrong in both. own, instead: accuracy; gain: their difference, with its paired interval.",
        (0, 1, 2, 3, 5, 6, 7, 8, 11, 12),
        (0, 1, 2, 3, 5, 6, 11, 12),
    )


def _position_bias(rows: Sequence[Mapping[str, Any]]) -> Section:
    return Section(
        "Position bias",
        (
            *("task", "split", "n", "units", "orders", "published", "lowest", "highest"),
            *("stable", "95 %", "letter distance", "recall deviation"),
        ),
        2,
        [
            (
                *_name(row),
                str(row["samples"]),
                str(row["units"]),
                str(len(row["orders"])),
                figure(row["orders"][0]["accuracy"]),
                *(figure(choose(order["accuracy"] for order in row["orders"])) for choose in (min, max)),
                figure(row["stable"]),
                interval(row["stable_interval"]),
                figure(row["letter_distance"]),
                figure(row["recall_deviation"]),
            )
            for row in rows
        ],
        "published, lowest, highest: accuracy with the options in their published order, and of all orders; stable: "
        "share of samples with the same answer in all orders. letter distance: total variation distance between the "
        "letters given and those that were right (0: none); recall deviation: standard deviation, over letters, of "
        "the share found of those right.",
        (0, 1, 2, 4, 5, 6, 7, 8, 9, 10),
    )


def _instructions(breakdowns: Sequence[Mapping[str, Any]]) -> Section:
    asked: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in breakdowns:
        if row["by"] == "instruction":
            asked.setdefault((row["task"], row["split"]), {})[row["value"]] = row
    return Section(
        "Instruction of training, and held out",
        ("task", "split", "metric", "n", "seen", "95 %", "held out", "95 %"),
        3,
        [
            (
                *_name(rows["seen"]),
                rows["seen"]["metric"],
                str(rows["seen"]["samples"]),
                *(
                    cell
                    for value in ("seen", "held out")
                    for cell in (figure(rows[value]["primary"]), interval(rows[value]["primary_interval"]))
                ),
            )
            for rows in asked.values()
            if {"seen", "held out"} <= set(rows)
        ],
        "The same samples, asked with each of the two.",
    )


def _letters(rows: Sequence[Mapping[str, Any]]) -> Section:
    return Section(
        "Letters, over all orders",
        ("task", "split", "letter", "right", "given", "recall"),
        3,
        [
            (*_name(row), letter, *(figure(found[name]) for name in ("right", "given", "recall")))
            for row in rows
            for letter, found in row["letters"].items()
        ],
        "right, given: share of the answers whose right letter, and given letter, it was.",
    )


def _ranking(results: Sequence[Mapping[str, Any]]) -> Section:
    ranked = [row for row in results if row.get("ranking")]
    steps = [k for k in map(str, RECALL_AT) if any(k in row["ranking"]["recall"] for row in ranked)]
    return Section(
        "Scores of the options",
        (
            *("task", "split", "part", *(f"R@{k}" for k in steps), "MRR", "NDCG", "accuracy", "per token"),
            *("ECE", "Brier", "log loss", "absent"),
        ),
        3,
        [
            (
                *_name(row),
                PART_NAMES[row["part"]],
                *(figure(row["ranking"]["recall"].get(k)) for k in steps),
                *(
                    figure(row["ranking"].get(k))
                    for k in ("mrr", "ndcg", "accuracy_summed", "accuracy_per_token")
                ),
                *(figure(row.get("calibration", {}).get(k)) for k in ("ece", "brier", "log_loss")),
                str(row["ranking"]["samples_with_absent_labels"]),
            )
            for row in ranked
        ],
        "R@k: the right option is among the first k; MRR: mean of 1 / rank; NDCG: mean of 1 / log2(1 + rank); "
        "accuracy, per token: by the summed log-likelihood, and by that divided by the number of tokens. ECE "
        "(expected calibration error, 10 bins), Brier (from 0 to 2) and log loss of the softmax over the summed "
        "log-likelihoods. absent: samples with options whose score the server did not give; these rank last.",
    )


def _breakdowns(rows: Sequence[Mapping[str, Any]]) -> Section:
    values = Counter((row["task"], row["split"], row["by"]) for row in rows)
    return Section(
        "Breakdowns",
        ("task", "split", "by", "value", "n", "units", "metric", "score", "95 %", "accuracy", "95 %"),
        4,
        [
            (
                *_name(row),
                row["by"],
                str(row["value"]).replace("|", "\\|"),
                f"{row['samples']}{'*' if row['few'] else ''}",
                str(row["units"]),
                row["metric"],
                *(figure(row["primary"]), interval(row["primary_interval"])),
                *(figure(row["accuracy"]), interval(row["accuracy_interval"])),
            )
            for row in rows
            if values[row["task"], row["split"], row["by"]] > 1
        ],
        f"\\*: fewer than {FEW_SAMPLES} samples. Left out is what has one value in all samples of a task and split.",
    )
