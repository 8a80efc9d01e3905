"""Metrics as tables: on the terminal and in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.evaluation.intervals import FEW_ROWS, FEW_UNITS, MANY_ROWS
from caslie_model.evaluation.lenient import lenient_note, with_lenient
from caslie_model.evaluation.sections import (
    PART_NAMES,
    Section,
    all_sections,
    figure,
    interval,
    ways_sections,
)
from mmecinstruct.tasks import TASKS

COLUMNS = (
    "task",
    "split",
    "part",
    "n",
    "units",
    "metric",
    "score",
    "95 %",
    "min diff",
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
# Columns for a terminal of 100 and of 80 characters; metrics.md has all of them.
FEWER_COLUMNS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16)
FEWEST_COLUMNS = (0, 1, 2, 3, 6, 7, 8, 9, 16)
NOTES_WIDTH = 100  # characters
# A gain of the paper (CASLIE-M over the best baseline in category classification, in-domain).
PAPER_GAIN = 0.008


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
            PART_NAMES[result["part"]],
            str(result["samples"]),
            str(result["units"]),
            result["metric"],
            figure(result["primary"]),
            interval(result["primary_interval"]) + ("*" if result["doubts"] else ""),
            _detectable(result["detectable_difference"]),
            figure(result["majority_primary"]),
            figure(result["accuracy"]),
            interval(result["accuracy_interval"]),
            figure(result["majority_accuracy"]),
            figure(result["macro_precision"]),
            figure(result["macro_recall"]),
            figure(result["macro_f1"]),
            str(result["unparsable"] + result["missing"] + result.get("not_finite", 0)),
            str(result.get("not_finite", 0)),
            figure(result["text_only_accuracy"]),
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

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(metrics_table(metrics, width), end="")


def metrics_table(metrics: Mapping[str, Any], width: int | None = None) -> str:
    """Return the table as text. No cell is ever cut: the narrowest table may be wider than a terminal.

    Args:
        metrics: The content of metrics.json.
        width: Characters of a terminal, which leaves out columns that do not fit; None: all columns.

    Returns:
        Lines of text.
    """
    results = metrics["results"]
    main = _main_section(metrics)
    lines, whole = _drawn(main, width, [(result["task"], result["split"]) for result in results])
    if not whole:
        lines.append("metrics.md has accuracy, the macro averages and more.")
    for section in ways_sections(metrics):
        lines += ["", *_drawn(section, width)[0]]
    for note in [*_notes(results), *filter(None, lenient_note(results))]:
        lines += ["", *textwrap.wrap(note, min(width or NOTES_WIDTH, NOTES_WIDTH))]
    return "\n".join(lines) + "\n"


def _main_section(metrics: Mapping[str, Any]) -> Section:
    results = metrics["results"]
    names, rows = with_lenient(COLUMNS, table_rows(results), results)
    others = tuple(range(len(COLUMNS), len(names)))
    fewer, fewest = (*FEWER_COLUMNS, *others), (*FEWEST_COLUMNS, *others)
    return Section(_title(metrics), names, 3, rows, "", fewer, fewest)


def _drawn(section: Section, width: int | None, groups: Sequence[object] = ()) -> tuple[list[str], bool]:
    """Return the lines of the first layout that fits, with a line between groups, and whether it has all columns."""
    layouts = [(section, False, 1)]
    if width is not None:
        # Then the names of columns are broken, at last their gaps are narrow.
        layouts += [(section.narrowed(), True, 1), (section.narrowed(fewest=True), True, 0)]
    for shown, broken, gap in layouts:
        lines = _laid_out(shown, broken, gap, groups)
        if width is None or max(map(len, lines)) <= width:
            break
    return lines, len(shown.columns) == len(section.columns)


def _laid_out(section: Section, broken: bool, gap: int, groups: Sequence[object]) -> list[str]:
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=section.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for index, name in enumerate(section.columns):
        header = name.replace(" ", "\n") if broken and name != "95 %" else name
        table.add_column(header, justify="left" if index < section.texts else "right", no_wrap=True)
    for index, cells in enumerate(section.rows):
        if index and groups and groups[index] != groups[index - 1]:
            table.add_section()
        table.add_row(*cells)
    text = StringIO()
    Console(file=text, width=10_000).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _detectable(value: float | None) -> str:
    """Return a smallest difference; no two scores differ by more than 1."""
    return "none" if value is not None and value > 1 else figure(value)


def _notes(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader must know of the intervals, of the smallest difference, and of marks."""
    kinds: dict[str, list[str]] = {}
    for result in results:
        tasks = kinds.setdefault(result["unit"], [])
        if (name := TASKS[result["task"]].short_name) not in tasks:
            tasks.append(name)
    units = "; ".join(f"{', '.join(tasks)}: {kind}" for kind, tasks in kinds.items())
    whole = [result for result in results if result["part"] == "all"]
    below = [
        sum(
            not (found := result["detectable_difference_range"][0]) or found > PAPER_GAIN for result in whole
        ),
        sum(not (found := result["detectable_difference"]) or found > PAPER_GAIN for result in whole),
    ]
    gain = (
        f"Gains of {PAPER_GAIN}, as the paper has them, cannot be resolved in {below[1]} of {len(whole)} tasks and "
        f"splits (in {below[0]} of them not even if the errors correlate at .9)."
        if below[1]
        else f"Gains of {PAPER_GAIN}, as the paper has them, can be resolved in all tasks and splits."
    )
    none = any((result["detectable_difference"] or 0) > 1 for result in results)
    impossible = "; none: no difference is as large" if none else ""
    lines = [
        f"Samples of one unit are not independent; intervals and min diff go by units ({units}).",
        "min diff: the smallest true difference to another model that a paired test on these samples finds in 80 of "
        f"100 cases (5 %, two-sided), if the errors of the two models correlate at .5{impossible}. {gain}",
    ]
    if any(result["doubts"] for result in results):
        lines.append(
            f"* an answer that is right in fewer than {FEW_ROWS} rows, fewer than {FEW_UNITS} units (of unequal size: "
            f"as good as fewer), or more than {MANY_ROWS} rows a unit: the interval may hold the true value less often "
            "than it says."
        )
    return lines


def metrics_markdown(metrics: Mapping[str, Any]) -> str:
    """Return the table as Markdown, with an explanation of its columns.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Lines of Markdown.
    """
    provenance = metrics["provenance"]
    lines = [
        f"# {_title(metrics)}",
        "",
        f"Answers as {provenance['answers']}, {provenance['instruction']} instructions, "
        f"{_shown_captions(provenance)}scoring by "
        f"{'likelihood' if provenance['scoring'] == 'likelihood' else 'greedy generation'}; "
        f"{metrics['samples_shortened']} prompts were shortened.",
        "",
        *_other_base(provenance),
        *_markdown(_main_section(metrics)),
        "",
        *(line for note in _notes(metrics["results"]) for line in (note.replace("* an", "\\* an"), "")),
        *_doubts(metrics["results"]),
        *lenient_note(metrics["results"]),
        "score: the task's metric; accuracy: the share of right answers; both with their 95 % intervals; majority: "
        "the same figure of always giving the most frequent training answer. no answer: unparsable or "
        "missing answers and those whose scores are no finite numbers (not finite), counted as wrong. text-only: "
        "the mean accuracy that the best possible guesser without images reaches.",
        "",
    ]
    for section in all_sections(metrics):
        lines += [f"## {section.title}", "", *_markdown(section), "", section.notes, ""]
    return "\n".join(lines)


def _markdown(section: Section) -> list[str]:
    return [
        "| " + " | ".join(section.columns) + " |",
        "|"
        + "|".join("---" if index < section.texts else "--:" for index in range(len(section.columns)))
        + "|",
        *("| " + " | ".join(cells) + " |" for cells in section.rows),
    ]


def _doubts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is few in the marked rows."""
    found = [
        f"{TASKS[result['task']].short_name} {result['split']} {PART_NAMES[result['part']]} "
        f"({', '.join(result['doubts'])})"
        for result in results
        if result["doubts"]
    ]
    return [f"Marked: {'; '.join(found)}.", ""] if found else []


def _other_base(provenance: Mapping[str, Any]) -> list[str]:
    recorded = provenance.get("trained_on_fingerprint")
    if recorded is None:
        return []
    return [
        f"The adapter was trained on another base model (fingerprint {recorded[:16]}) than the one evaluated "
        f"({provenance['base_fingerprint'][:16]}): these are not the figures of the trained model.",
        "",
    ]


def _shown_captions(provenance: Mapping[str, Any]) -> str:
    return f"captions `{provenance['captions']}` in the prompts, " if provenance.get("captions") else ""


def _title(metrics: Mapping[str, Any]) -> str:
    return f"{metrics['model']}{' (base only)' if metrics['base_only'] else ''} on {metrics['data']}"
