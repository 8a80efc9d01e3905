"""What the command line tells a person, on stderr: progress, and what a build did."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmecinstruct.pipeline.run import BuildReport
    from mmecinstruct.workspace import Report


def say(text: str) -> None:
    """Print talk, as opposed to data."""
    print(text, file=sys.stderr)


def printable(text: str) -> str:
    """Return somebody else's words without what a terminal would obey instead of show."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def show_progress() -> Iterator[Report]:
    """Show one line per running step on a terminal; in a log, one line per finished step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def log(stage: str, done: int, total: int) -> None:
            if done == total:
                say(f"{stage}: {total}/{total}")

        yield log
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        rows: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in rows:
                rows[stage] = int(progress.add_task(stage, total=total))
            progress.update(rows[stage], completed=done, visible=done < total)  # type: ignore[arg-type]

        yield show


def left_out_line(sources: Iterable[str]) -> str:
    """Return what is said of the sources that a recipe's licences do not allow."""
    return f"Left out, as licences: open allows only what anyone may pass on: {', '.join(sources)}"


def print_report(report: BuildReport) -> None:
    """Say what was wanted, there and chosen, what was rejected, and what was not built."""
    say("")
    width = max(len(task) for task in report.sizes)
    say(f"{'task':<{width}}  {'split':<10}  {'wanted':>7}  {'available':>9}  {'chosen':>7}")
    for task, splits in report.sizes.items():
        for split, entry in splits.items():
            numbers = f"{entry['wanted']:>7}  {entry['available']:>9}  {entry['chosen']:>7}"
            say(f"{task:<{width}}  {split:<10}  {numbers}  {entry['note']}".rstrip())
    say("")
    rejected = {row["stage"]: row["rejected"] for row in report.stages if row["rejected"]}
    if rejected:
        say(f"Rejected rows, each with its reason in {report.out / 'rejections' / 'rejections.parquet'}:")
        for stage, count in rejected.items():
            say(f"  {stage}: {count}")
    not_drawn = {row["stage"]: row["not_drawn"] for row in report.stages if row.get("not_drawn")}
    for stage, count in not_drawn.items():
        say(f"Rows that no sample needs, left alone: {count} ({stage})")
    if report.fetched:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in report.fetched.items())
        say(f"Pictures asked for on the web: {counts}")
    if report.left_out:
        say(left_out_line(report.left_out))
    for warning in report.warnings:
        say(f"warning: {warning}")
    if report.taken_down:
        counts = ", ".join(f"{count} in {stage}" for stage, count in report.taken_down.items())
        say(f"Kept out by the takedown list: {counts}")
    for line in report.cut_short:
        say(f"warning: {line}, and run the build again.")
    if report.audit is not None and report.audit.exceeded:
        say(
            f"warning: splits share more than the recipe tolerates ({len(report.audit.exceeded)} findings); "
            f"the card says what, and: mmec audit {report.out}"
        )
    for task, why in report.missing.items():
        say(f"Not built: {task}: {'; '.join(why)}")
    if report.up_to_date:
        say(f"{report.out} was up to date.")
