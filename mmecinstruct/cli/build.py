"""The command that builds: `mmec build`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmecinstruct import api
from mmecinstruct.cli.options import (
    DEFAULT_WORKSPACE,
    Override,
    PlanAsJson,
    RecipeName,
    RetryFailed,
    Workspace,
)
from mmecinstruct.cli.report import build_plan_text, print_report
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import show, show_progress, tell_what_is_kept

panel = Panel("Build a dataset")


@panel.command(
    "build",
    "mmec build --tasks all",
    "mmec build --recipe catalog --data my_shop --out my_dataset",
    "mmec build --recipe paper --data raw --dry-run",
    "mmec build --tasks cc,sa --set sizes.train=100 --workers 2",
    "mmec build --recipe my-shop.yaml --licences open --set images.publish=reference",
)
def build(
    recipe: RecipeName = "sample",
    tasks: Annotated[str, typer.Option(help="`all`, or names or short names, separated by commas.")] = "all",
    out: Annotated[
        Path | None, typer.Option(help="The dataset folder to write; default: dataset-RECIPE.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Root of the recipe's relative paths.")] = Path("."),
    licences: Annotated[
        Literal["any", "open"] | None,
        typer.Option(
            help="`open`: only from sources that anyone may pass on (see `mmec sources`); default: the recipe's."
        ),
    ] = None,
    override: Override = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes; default: one per core, where the recipe's memory suffices. Changes no byte.",
        ),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"], typer.Option(help="Where work items run. Changes no byte.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster, as host:port or `auto`; default: $RAY_ADDRESS, else one is started here."
        ),
    ] = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print wanted sizes, and raw files found and missing; build nothing."),
    ] = False,
    as_json: PlanAsJson = False,
) -> None:
    """Build a dataset folder from a recipe.

    Without --recipe the sample shop is generated and built, offline, in about a minute. An interrupted build continues
    where it stopped; a finished one returns at once.
    """
    with tell_what_is_kept():
        if as_json and not dry_run:
            raise typer.BadParameter("--json goes with --dry-run")
        stated = [] if licences is None else [f"licences={licences}"]
        loaded = api.load_recipe(recipe, [*(override or []), *stated])
        target = out if out is not None else Path(f"dataset-{loaded.name}")
        if dry_run:
            import json

            from mmecinstruct.pipeline.dry_run import plan_build

            plan = plan_build(loaded, target, api.task_names(tasks), data)
            show(json.dumps(plan.to_json(), indent=1) if as_json else build_plan_text(plan))
            return
        # Ray prints what happens to its nodes where data goes.
        with redirect_stdout(sys.stderr), show_progress() as progress:
            done = api.build(
                loaded,
                target,
                tasks=tasks,
                data=data,
                workspace=workspace,
                workers=workers,
                executor=executor,
                ray_address=ray_address,
                retry_failed=retry_failed,
                progress=progress,
            )
        print_report(done)
        show(target)
