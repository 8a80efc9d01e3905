"""What a judge decided, and what it would be asked, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.captions.judging import JudgeResult


def judging_table(result: JudgeResult) -> str:
    """Return the captions and those that are kept by task, with the judge's figures of each task, and of each model.

    Args:
        result: What was decided.
    """
    figures = result.report.get("by_task", {})
    tasks = [
        {
            "task": task,
            "captions": count,
            "kept": result.kept[task],
            "share": result.kept[task] / count,
            **figures.get(task, {}),
        }
        for task, count in result.captions.items()
    ]
    total, kept = sum(result.captions.values()), sum(result.kept.values())
    whole = {"captions": total, "kept": kept, "share": kept / total}
    tasks.append({"task": "all", **whole, **result.report.get("agreement", {})})
    return "\n\n".join(map(aligned, filter(None, (tasks, result.report.get("judges")))))


def estimate_table(estimate: Mapping[str, Any]) -> str:
    """Return the estimate of judging as text."""
    lines = [f"captions  {estimate['captions']:,}"]
    if estimate.get("judges"):
        lines += ["", aligned(estimate["judges"])]
    return "\n".join(lines)


def aligned(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as text, a column for each name that has a value; numbers are on the right."""
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if any(row.get(name) is not None for row in rows)
    ]
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[_shown(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_text = [any(isinstance(row.get(name), str) for row in rows) for name in names]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in cells
    )


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return (
        f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
