"""Metrics as tables: on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.evaluation.lenient import lenient_note, with_lenient
from mmecinstruct.tasks import TASKS

COLUMNS = (
    "task",
    "split",
    "part",
    "n",
    "metric",
    "score",
    "95 %",
    "majority",
    "accuracy",
    "95 %",
    "majority accuracy",
    "macro P",
    "macro R",
    "macro F1",
    "no answer",
    "not finite",
    "text-only",
)
# Columns that fit a narrow terminal; metrics.md has all of them.
FEWER_COLUMNS = (0, 1, 2, 3, 4, 5, 6, 7, 14, 16)
WIDTH, FEWER_WIDTH = 200, 100  # characters
_PART_NAMES = {"all": "all", "visual_critical": "needs image", "not_visual_critical": "text suffices"}


def table_rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table's cells, in the order of COLUMNS.

    Args:
        results: `results` of metrics.json.

    Returns:
        Cells of each row.
    """
    return [
        (
            TASKS[result["task"]].short_name,
            result["split"],
            _PART_NAMES[result["part"]],
            str(result["samples"]),
            result["metric"],
            _figure(result["primary"]),
            _interval(result["primary_interval"]),
            _figure(result["majority_primary"]),
            _figure(result["accuracy"]),
            _interval(result["accuracy_interval"]),
            _figure(result["majority_accuracy"]),
            _figure(result["macro_precision"]),
            _figure(result["macro_recall"]),
            _figure(result["macro_f1"]),
            str(result["unparsable"] + result["missing"] + result.get("not_finite", 0)),
            str(result.get("not_finite", 0)),
            _figure(result["text_only_accuracy"]),
        )
        for result in results
    ]


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the table to stdout: the main columns on a narrow terminal, else all.

    Args:
        metrics: The content of metrics.json.
    """
    import shutil
    import sys

    narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDTH
    print(metrics_table(metrics, narrow), end="")


def metrics_table(metrics: Mapping[str, Any], narrow: bool) -> str:
    """Return the table as text.

    Args:
        metrics: The content of metrics.json.
        narrow: Leave out accuracy and the macro averages.

    Returns:
        Lines of text.
    """
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    names, rows = with_lenient(COLUMNS, table_rows(metrics["results"]), metrics["results"])
    columns = (*FEWER_COLUMNS, *range(len(COLUMNS), len(names))) if narrow else range(len(names))
    table = Table(title=_title(metrics), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index in columns:
        table.add_column(names[index], justify="left" if index < 3 else "right", no_wrap=True)
    previous = None
    for cells, result in zip(rows, metrics["results"], strict=True):
        if previous not in (None, (result["task"], result["split"])):
            table.add_section()
        previous = (result["task"], result["split"])
        table.add_row(*(cells[index] for index in columns))
    text = StringIO()
    Console(file=text, width=FEWER_WIDTH if narrow else WIDTH).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    if narrow:
        lines.append("metrics.md has accuracy and the macro averages too.")
    return "\n".join(lines) + "\n"


def metrics_markdown(metrics: Mapping[str, Any]) -> str:
    """Return the table as Markdown, with an explanation of its columns.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Lines of Markdown.
    """
    provenance = metrics["provenance"]
    names, rows = with_lenient(COLUMNS, table_rows(metrics["results"]), metrics["results"])
    lines = [
        f"# {_title(metrics)}",
        "",
        f"Answers as {provenance['answers']}, {provenance['instruction']} instructions, scoring by "
        f"{'likelihood' if provenance['scoring'] == 'likelihood' else 'greedy generation'}; "
        f"{metrics['samples_shortened']} prompts were shortened.",
        "",
        *_other_base(provenance),
        "| " + " | ".join(names) + " |",
        "|" + "|".join("---" if index < 3 else "--:" for index in range(len(names))) + "|",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
        *lenient_note(metrics["results"]),
        "score: the task's metric with its bootstrap interval; accuracy with its Wilson interval; majority: "
        "the same figure of always giving the most frequent training answer. no answer: unparsable or "
        "missing answers and those whose scores are no finite numbers (not finite), counted as wrong. text-only: "
        "the mean accuracy that the best possible guesser without images reaches.",
        "",
    ]
    return "\n".join(lines)


def _other_base(provenance: Mapping[str, Any]) -> list[str]:
    recorded = provenance.get("trained_on_fingerprint")
    if recorded is None:
        return []
    return [
        f"The adapter was trained on another base model (fingerprint {recorded[:16]}) than the one evaluated "
        f"({provenance['base_fingerprint'][:16]}): these are not the figures of the trained model.",
        "",
    ]


def _title(metrics: Mapping[str, Any]) -> str:
    return f"{metrics['model']}{' (base only)' if metrics['base_only'] else ''} on {metrics['data']}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f}–{bounds[1]:.3f}"
