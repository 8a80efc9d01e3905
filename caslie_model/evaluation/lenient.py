"""The paper's released scoring, faults included, for figures that can stand beside published ones.

A text is stripped; where it holds a colon only its first character is kept; what then is no right answer of the split
is skipped, and leaves the denominator. So "Based on the query: D" answers B, "No" and "no." answer nothing, a legal
option that is nowhere right is skipped, and a file that was cut short is scored on what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.data.samples import Sample
from caslie_model.evaluation.metrics import class_scores, confusion, macro, primary
from caslie_model.runtime.console import say
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import YES_NO

COLUMN = "released scorer"


def lenient_scores(task: str, gold: Sequence[str], texts: Sequence[str | None]) -> dict[str, Any]:
    """Return what the released scorer reports of generated texts.

    Args:
        task: Full name of the task.
        gold: Right labels of the split.
        texts: Generated texts in the same order; None for one that is missing, which is not even skipped.

    Returns:
        `metric`, `released_score` (the task's own metric; None where every answer is skipped, and for F1 where nothing
        that is left says yes) and `skipped`.
    """
    legal = set(gold)
    right, given = [], []
    skipped = 0
    for label, text in zip(gold, texts, strict=True):
        if text is None:
            continue
        answer = text.strip()
        if ":" in answer:
            answer = answer[0]
        if answer in legal:
            right.append(label)
            given.append(answer)
        else:
            skipped += 1
    return {
        "metric": TASKS[task].metric,
        "released_score": _score(TASKS[task].metric, right, given),
        "skipped": skipped,
    }


def add_lenient(
    results: Sequence[dict[str, Any]], samples: Sequence[Sample], records: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add the released scorer's figures to the rows of whole splits, as `lenient`; None for answers without a text.

    Args:
        results: Rows of metrics.json.
        samples: The evaluated samples.
        records: Records of predictions by id of the sample.
    """
    without: list[str] = []
    for row in results:
        if row["part"] != "all":
            continue
        asked = [sample for sample in samples if (sample.task, sample.split) == (row["task"], row["split"])]
        texts = [records.get(sample.id, {}).get("text") for sample in asked]
        if all(text is None for text in texts):
            without.append(f"{TASKS[row['task']].short_name} {row['split']}")
            row["lenient"] = None
            continue
        row["lenient"] = lenient_scores(row["task"], [sample.output for sample in asked], texts)
    if without:
        say(f"the released scorer reads generated texts; there are none of {', '.join(without)}")


def with_lenient(
    columns: Sequence[str], rows: Sequence[tuple[str, ...]], results: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table with the released scorer's column, where it was asked for.

    Args:
        columns: Names of columns.
        rows: Cells of each row.
        results: The row of metrics.json behind each row.

    Returns:
        Columns and rows; as they were where no result has the figure.
    """
    if not any("lenient" in result for result in results):
        return tuple(columns), list(rows)
    return (*columns, COLUMN), [(*row, _cell(result)) for row, result in zip(rows, results, strict=True)]


def lenient_note(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader must know of the column, as lines of Markdown."""
    if not any("lenient" in result for result in results):
        return []
    return [
        f"{COLUMN}: the metric as the paper's released code computes it, with the number of answers that it skips and "
        "leaves out of the denominator. It is not comparable with the other columns.",
        "",
    ]


def _cell(result: Mapping[str, Any]) -> str:
    found = result.get("lenient")
    if found is None:
        return "–"
    score = "–" if found["released_score"] is None else f"{found['released_score']:.3f}"
    return f"{score} ({found['skipped']} skipped)"


def _score(metric: str, right: Sequence[str], given: Sequence[str]) -> float | None:
    labels = sorted({*right, *given})
    if not labels or (metric == "F1" and "yes" not in labels):
        return None
    if metric == "F1":
        return float(primary(metric, confusion(right, given, YES_NO), YES_NO))
    counts = confusion(right, given, labels)
    if metric == "macro F1":
        _, _, f1, occurs = class_scores(counts)
        return float(macro(f1, occurs))
    return float(primary(metric, counts, labels))
