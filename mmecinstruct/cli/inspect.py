"""Commands about a dataset folder that is there: `mmec validate`, `mmec audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct import api
from mmecinstruct.cli.options import AsJson, DatasetFolder, OtherRecipe, Workers
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import say, show, show_progress
from mmecinstruct.core.disk_errors import writing_to
from mmecinstruct.core.errors import MmecError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import check_output_file

panel = Panel("Inspect a dataset")


@panel.command(
    "validate",
    "mmec validate dataset-sample",
    "mmec validate dataset-sample --no-decode --json",
)
def validate(
    folder: DatasetFolder,
    decode: Annotated[bool, typer.Option(help="Decode every image.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check a dataset folder; exit status 1 with the reasons when it is damaged."""
    from mmecinstruct.dataset.validate import format_problems

    with show_progress() as progress:
        checked = api.validate(folder, decode=decode, progress=progress)
    if as_json:
        import json
        from dataclasses import asdict

        content = {"valid": checked.valid, **asdict(checked)}
        show(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    elif checked.problems:
        show(format_problems(checked.problems))
    if not checked.valid:
        say(f"{folder}: {len(checked.problems)} problem(s)")
        raise typer.Exit(1)
    say(f"{folder}: valid")


@panel.command(
    "audit",
    "mmec audit dataset-sample",
    "mmec audit dataset-sample --shortcuts",
    "mmec audit dataset-sample --json > audit.json",
    "mmec audit their_dataset --recipe strict.yaml --out audit.md",
)
def audit(
    folder: Annotated[Path, typer.Argument(help="A dataset folder: <task>/<split>-*.parquet.")],
    recipe: OtherRecipe = None,
    examples: Annotated[
        int | None, typer.Option(min=0, max=100, help="Examples per finding; default: the recipe's.")
    ] = None,
    shortcuts: Annotated[
        bool | None,
        typer.Option(
            "--shortcuts/--no-shortcuts",
            help="Let guessers that know neither question nor image guess the answers; default: the recipe's.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the whole report: .json, or .md for Markdown.")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Show what the splits of a dataset folder share, and by which tricks its answers are guessed.

    The recipe's part `audit` has the tolerances; default: the folder's own. Exit status 1: a tolerance is exceeded; 2:
    the folder cannot be read.
    """
    from mmecinstruct.auditing import guess_line, report_markdown

    if out is not None and out.suffix not in (".json", ".md"):
        raise typer.BadParameter(f"--out {out}: the name ends in .json or .md")
    try:
        # Exit status 1 means a finding, so an unwritable file is found before.
        if out is not None:
            check_output_file(out, "mmec audit")
        with show_progress() as progress:
            found = api.audit(
                folder, recipe, examples=examples, shortcuts=shortcuts, workers=workers, progress=progress
            )
    except (MmecError, OSError) as error:
        say(f"error: {error}")
        raise typer.Exit(2) from error
    show((found.to_json() if as_json else report_markdown(found)).removesuffix("\n"))
    if out is not None:
        text = found.to_json() if out.suffix == ".json" else report_markdown(found)
        try:
            with writing_to(out):
                write_atomically(out, text.encode())
        except MmecError as error:
            say(f"error: {error}")
            raise typer.Exit(2) from error
    for check in found.unchecked:
        say(f"{check.kind}: {check.status}: {check.note}")
    if found.unread:
        say(f"{len(found.unread)} Parquet file(s) not read: they are not samples of a known split, see above")
    if found.proves_nothing:
        say(f"error: {folder}: the files have none of the columns that an audit compares")
        raise typer.Exit(2)
    if found.exceeded:
        say(f"{folder}: {len(found.exceeded)} finding(s) above the tolerance")
    for guess in found.shortcuts:
        say(f"shortcut: {guess.task}, {guess.split}: {guess_line(guess)}")
    if found.exceeded or found.shortcuts:
        raise typer.Exit(1)
    say(f"{folder}: nothing above the tolerance")
