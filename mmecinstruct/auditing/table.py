"""Render the report as Markdown that is readable in a terminal.

Ids, texts and names of tasks come from untrusted files, so all of them are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from mmecinstruct.auditing.report import BY_DESIGN, KINDS, AuditReport, summary_lines
from mmecinstruct.auditing.shortcuts import GUESSERS, Guess
from mmecinstruct.auditing.shortcuts.result import BLIND
from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.text.normalise import normalise_text

_EXCERPT = 160
# Unread files that are listed.
_LISTED = 10
_HARMLESS = re.compile(r"(?<=\w)\\([-_])(?=\w)")


def report_markdown(report: AuditReport) -> str:
    """Return the report as Markdown: checks, a line per kind and scope, findings per task, examples, guessers."""
    parts = (
        _checks(report),
        _unread(report),
        [""],
        _totals(report),
        _findings(report),
        _examples(report),
        _guesses(report),
        [""],
    )
    return "\n".join(chain.from_iterable(parts))


def _unread(report: AuditReport) -> Iterator[str]:
    if report.unread:
        listed = [_shown(path) for path in report.unread[:_LISTED]] + ["…"] * (len(report.unread) > _LISTED)
        yield ""
        yield (
            f"**Not read**, as samples are in `<task>/<split>-*.parquet` with a split of {', '.join(SPLITS)}: "
            f"{', '.join(listed)}."
        )


def _checks(report: AuditReport) -> Iterator[str]:
    yield from _table(
        ("check", "means", "status", "values"),
        (
            (
                check.kind,
                KINDS[check.kind],
                check.status + (f": {_shown(check.note)}" if check.note else ""),
                f"{check.values}",
            )
            for check in report.checks
        ),
        "lllr",
    )


def _totals(report: AuditReport) -> Iterator[str]:
    if not report.pairs:
        yield "There is one split only, so nothing to compare."
        return
    yield "Samples of the later split that share something with the earlier one:"
    yield ""
    header = ("check", "scope", *(f"{earlier} / {later}" for earlier, later in report.pairs))
    rows = []
    for kind, scope in summary_lines(report):
        cells = []
        for earlier, later in report.pairs:
            samples = report.totals.get((kind, scope, earlier, later), 0)
            cells.append(_count(samples, report.split_rows(later)))
        rows.append((kind, scope, *cells))
    yield from _table(header, rows, "ll" + "r" * len(report.pairs))


def _findings(report: AuditReport) -> Iterator[str]:
    found = [finding for finding in report.findings if finding.scope != BY_DESIGN or finding.exceeds]
    if not found:
        return
    yield from ("", "Per task:", "")
    yield from _table(
        ("check", "scope", "splits", "task", "samples", "tolerated", ""),
        (
            (
                finding.kind,
                finding.scope,
                f"{finding.earlier} / {finding.later}",
                _shown(finding.task),
                _count(finding.samples, finding.of),
                f"{100 * finding.tolerance:g} %",
                "**too many**" if finding.exceeds else "",
            )
            for finding in found
        ),
        "llllrrl",
    )


def _examples(report: AuditReport) -> Iterator[str]:
    # Overlaps by design need no examples; findings above their tolerance come first.
    shown = [
        finding
        for finding in report.findings
        if finding.examples and (finding.scope != BY_DESIGN or finding.exceeds)
    ]
    if not shown:
        return
    yield from ("", "Examples:", "")
    for finding in sorted(shown, key=lambda finding: not finding.exceeds):
        yield f"* {finding.kind}, {finding.scope}, {finding.earlier} / {finding.later}, {_shown(finding.task)}:"
        for example in finding.examples:
            other = "" if example.other_task == finding.task else _shown(example.other_task)
            yield (
                f"  * {_named(example.sample, '', example.place)} and "
                f"{_named(example.other_sample, other, example.other_place)}: {_shown(example.shared)}"
            )


def _guesses(report: AuditReport) -> Iterator[str]:
    """Yield a table of accuracies: a line per task and guesser, a column per split."""
    if report.guessed is None:
        return
    guesses = report.guessed.guesses
    yield from ("", "## Shortcuts", "")
    if guesses:
        yield (
            "Accuracy of guessers that know neither question nor image, and of text baselines that read the question. "
            "Bold: the lower end of the 95 % interval exceeds chance by more than "
            f"{report.settings['shortcut_tolerance']:g}."
        )
        yield ""
        splits = [split for split in SPLITS if any(guess.split == split for guess in guesses)]
        rows = []
        for task in dict.fromkeys(guess.task for guess in guesses):
            of_task = [guess for guess in guesses if guess.task == task]
            chance = {guess.split: f"{guess.chance:.3f}" for guess in of_task}
            rows.append((_shown(task), "chance", *(chance.get(split, "") for split in splits), ""))
            for name in dict.fromkeys(guess.guesser for guess in of_task):
                cells = {guess.split: _accuracy(guess) for guess in of_task if guess.guesser == name}
                kind = "" if name in BLIND else "text baseline"
                rows.append((_shown(task), name, *(cells.get(split, "") for split in splits), kind))
        yield from _table(("task", "guesser", *splits, ""), rows, "ll" + "r" * len(splits) + "l")
        if found := dict.fromkeys(guess.guesser for guess in report.shortcuts):
            yield ""
            yield "\n".join(f"* **{name}** {GUESSERS[name]}." for name in found)
    if report.guessed.unguessed:
        yield ""
        yield "Not guessed:"
        yield ""
        for part in report.guessed.unguessed:
            yield f"* {_shown(part.task)}, {part.split}: {_shown(part.why)}"


def _accuracy(guess: Guess) -> str:
    return f"**{guess.accuracy:.3f}**" if guess.finding else f"{guess.accuracy:.3f}"


def _named(sample: str, task: str, place: str) -> str:
    origin = ", ".join(filter(None, (task, _shown(place))))
    return _shown(sample) + (f" ({origin})" if origin else "")


def _count(samples: int, of: int) -> str:
    return f"{samples} ({100 * samples / of:.1f} %)" if samples else "0"


def _shown(text: str) -> str:
    # Within a word hyphens and underscores have no meaning in Markdown. Unescaped, an id can be copied.
    return _HARMLESS.sub(r"\1", markdown_text(normalise_text(text), _EXCERPT))


def _table(
    header: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]], sides: str
) -> Iterator[str]:
    """Yield a Markdown table with aligned columns; sides: l or r per column."""
    lines = [header, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        fitted = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(cells, widths, sides, strict=True)
        )
        return "| " + " | ".join(fitted) + " |"

    yield line(header)
    rules = (
        "-" * (width - 1) + ":" if side == "r" else "-" * width
        for width, side in zip(widths, sides, strict=True)
    )
    yield "| " + " | ".join(rules) + " |"
    for row in lines[1:]:
        yield line(row)
