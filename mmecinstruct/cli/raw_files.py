"""The commands about publishers' raw files: get them, draw some that look like them, show who publishes them.

`mmecinstruct/cli/app.py` makes commands of these functions. Each takes its examples from the constant above it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct.cli.report import left_out_line
from mmecinstruct.core.console import say, show_progress

PULL_EXAMPLES = (
    "Examples:\n\n"
    "  mmec pull --recipe paper --dry-run\n\n"
    "  mmec pull --recipe paper --data raw\n\n"
    "  mmec pull --recipe paper --only esci --only 'amazon2018/meta_*'"
)


def pull(
    recipe: Annotated[
        str, typer.Option(help="A built-in recipe's name (see `mmec recipes`) or a YAML file.")
    ],
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
        bool, typer.Option("--dry-run", help="Print what would be fetched, with sizes; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report, or the plan, as JSON.")] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the recipe; repeatable."),
    ] = None,
) -> None:
    """Fetch the publishers' files that a recipe needs, or find them where you put them.

    A pull that was interrupted continues where it stopped; a finished one is done at once. Exit code 1: a file is
    missing, which could not be fetched or which you have to get by hand.
    """
    import json

    from mmecinstruct.core.errors import PullError
    from mmecinstruct.recipe import load_recipe
    from mmecinstruct.recipe.licences import apply_licences
    from mmecinstruct.sources.publishers import remote_files
    from mmecinstruct.web.raw_files import choose, plan_pull, show_pull
    from mmecinstruct.web.raw_files import pull as pull_files

    # What the recipe's licences leave out is not fetched either.
    choice = apply_licences(load_recipe(recipe, override or []))
    loaded = choice.recipe
    wanted = [] if loaded.sample else [file for one in loaded.sources for file in remote_files(one, data)]
    if choice.left_out:
        say(left_out_line(choice.left_out))
    if not wanted:
        raise PullError(f"recipe '{loaded.name}' needs no publisher's files: there is nothing to pull")
    wanted = choose(wanted, only or [])
    if dry_run:
        plan = plan_pull(wanted, data, loaded.pull, fetch=loaded.fetch, mirror=mirror)
        print(json.dumps(plan.to_json(), indent=1) if as_json else plan)
        return
    with show_pull() as listener:
        done = pull_files(wanted, data, loaded.pull, listener, fetch=loaded.fetch, mirror=mirror)
    print(json.dumps(done.to_json(), indent=1) if as_json else done)
    for file in done.of("by_hand"):  # of the others it was told when they failed
        say(f"missing: {file.origin}: {file.detail}")
    if not done.complete:
        say(f"{data}: {len(done.missing)} of {len(done.files)} files are missing")
        raise typer.Exit(1)
    say(f"{data}: all {len(done.files)} files are there")


MINIATURE_EXAMPLES = (
    "Examples:\n\n  mmec miniature --out raw --scale 0.01\n\n  mmec build --recipe paper --data raw"
)


def miniature(
    out: Annotated[
        Path, typer.Option(help="The raw folder to write; only files of an earlier miniature are replaced.")
    ] = Path("raw"),
    scale: Annotated[
        float, typer.Option(help="1: as many records as the publishers' files have, some 30 GB of text.")
    ] = 0.001,
    seed: Annotated[int, typer.Option(help="Another seed, another miniature.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one per core. Changes no byte.")
    ] = None,
) -> None:
    """Draw the raw files of the recipe `paper`, as dirty and in the proportions of the real ones, at any scale.

    They stand in for what it would pull: to try it, to measure, to test. No image is drawn: URLs lead nowhere. A
    drawing that was interrupted goes on with the files that are missing; a finished one is done at once.
    """
    from mmecinstruct.engine.executors.local import cores
    from mmecinstruct.synthetic.raw_files import write_miniature

    with show_progress() as report:
        sizes = write_miniature(
            out,
            scale,
            seed,
            workers=workers or cores(),
            progress=lambda done, total: report("miniature", done, total),
        )
    for name, size in sizes.items():
        say(f"{size / 1e6:12,.1f} MB  {name}")
    print(out)


SOURCES_EXAMPLES = (
    "Examples:\n\n  mmec sources\n\n  mmec sources esci\n\n  mmec sources --json > sources.json"
)


def sources(
    name: Annotated[
        str | None, typer.Argument(help="A source's short name, for its details; default: a table of all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show who publishes raw files: under which terms, for which tasks, and where the files are had."""
    import json

    from mmecinstruct.sources.publishers import find_publisher, publishers
    from mmecinstruct.sources.publishers.show import details, publisher_record, table
    from mmecinstruct.tasks import TASKS

    short_names = {task: TASKS[task].short_name for task in TASKS}
    if as_json:
        shown = [publisher_record(one, TASKS) for one in publishers()]
        content = shown if name is None else publisher_record(find_publisher(name), TASKS)
        print(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        found = (
            table(publishers(), short_names) if name is None else details(find_publisher(name), short_names)
        )
        print(found)
