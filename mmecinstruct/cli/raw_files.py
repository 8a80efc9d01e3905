"""Commands about publishers' raw files: `mmec sources`, `mmec pull`, `mmec miniature`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct import api
from mmecinstruct.cli.options import AsJson, Override, RecipeName, Workers
from mmecinstruct.cli.report import left_out_line
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import say, show, show_progress, tell_what_is_kept
from mmecinstruct.engine.executors.local import cores
from mmecinstruct.synthetic.raw_files import write_miniature

panel = Panel("Raw files")


@panel.command("sources", "mmec sources", "mmec sources esci", "mmec sources --json > sources.json")
def sources(
    name: Annotated[
        str | None, typer.Argument(help="A source's short name, for its details; default: a table of all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who publishes raw files: under which terms, for which tasks, and where the files are had."""
    import json

    from mmecinstruct.sources.publishers import find_publisher, publishers
    from mmecinstruct.sources.publishers.show import details, publisher_record, table
    from mmecinstruct.tasks import TASKS

    short_names = {name: task.short_name for name, task in TASKS.items()}
    if as_json:
        shown = [publisher_record(one, TASKS) for one in publishers()]
        content = shown if name is None else publisher_record(find_publisher(name), TASKS)
        show(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        show(table(publishers(), short_names) if name is None else details(find_publisher(name), short_names))


@panel.command(
    "pull",
    "mmec pull --recipe paper --dry-run",
    "mmec pull --recipe paper --data raw",
    "mmec pull --recipe paper --only esci --only 'amazon2018/meta_*'",
)
def pull(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="The raw folder: `mmec build` takes it as --data.")] = Path(
        "raw"
    ),
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only files whose path matches, or of this publisher; repeatable."
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Take all files from URL/<path below the raw folder> instead."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be downloaded, with sizes; write nothing.")
    ] = False,
    override: Override = None,
    as_json: AsJson = False,
) -> None:
    """Download the publishers' files that a recipe needs, or check those that are there.

    An interrupted pull continues where it stopped; a finished one returns at once. Exit status 1: a file is missing
    that could not be downloaded or that you have to get by hand.
    """
    with tell_what_is_kept():
        import json

        from mmecinstruct.recipe.licences import apply_licences
        from mmecinstruct.web.raw_files.progress import show_pull

        loaded = api.load_recipe(recipe, override or ())
        if left_out := apply_licences(loaded).left_out:
            say(left_out_line(left_out))
        if dry_run:
            plan = api.pull(loaded, data, only=only or (), mirror=mirror, dry_run=True)
            show(json.dumps(plan.to_json(), indent=1) if as_json else plan)
            return
        with show_pull() as listener:
            done = api.pull(loaded, data, only=only or (), mirror=mirror, progress=listener)
    show(json.dumps(done.to_json(), indent=1) if as_json else done)
    for file in done.of("by_hand"):  # the others were reported when they failed
        say(f"missing: {file.origin}: {file.detail}")
    if not done.complete:
        say(f"{data}: {len(done.missing)} of {len(done.files)} files are missing")
        raise typer.Exit(1)
    say(f"{data}: all {len(done.files)} files are there")


@panel.command(
    "miniature",
    "mmec miniature --out raw --scale 0.01",
    "mmec build --recipe paper --data raw",
)
def miniature(
    out: Annotated[
        Path, typer.Option(help="The raw folder to write; only files of an earlier miniature are replaced.")
    ] = Path("raw"),
    scale: Annotated[
        float, typer.Option(help="1: as many records as the publishers' files have, some 30 GB of text.")
    ] = 0.001,
    seed: Annotated[int, typer.Option(help="Another seed gives other files.")] = 0,
    workers: Workers = None,
) -> None:
    """Generate synthetic raw files for the recipe `paper`, as dirty and in the proportions of the real ones.

    They replace what `mmec pull` would download: to try the recipe, to measure, to test. No images are generated: URLs
    lead nowhere. An interrupted run continues with the files that are missing; a finished one returns at once.
    """
    with tell_what_is_kept(), show_progress() as progress:
        sizes = write_miniature(
            out,
            scale,
            seed,
            workers=workers or cores(),
            progress=lambda done, total: progress("miniature", done, total),
        )
    for name, size in sizes.items():
        say(f"{size / 1e6:12,.1f} MB  {name}")
    show(out)
