"""Commands about recipes and the workspace: `mmec recipes`, `mmec clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from mmecinstruct.cli.options import DEFAULT_WORKSPACE, AsJson, Workspace
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import say, show
from mmecinstruct.core.errors import WorkspaceError

panel = Panel("Recipes and workspace")


@panel.command("recipes", "mmec recipes", "mmec recipes --json")
def recipes(as_json: AsJson = False) -> None:
    """List the built-in recipes."""
    from mmecinstruct.recipe import built_in_recipes, load_recipe

    listed = {name: load_recipe(str(path)).description for name, path in built_in_recipes().items()}
    if as_json:
        import json

        rows = [{"name": name, "description": description} for name, description in listed.items()]
        show(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for name, description in listed.items():
        show(f"{name}\t{description}")


@panel.command("clean", "mmec clean --days 7")
def clean(
    workspace: Workspace = DEFAULT_WORKSPACE,
    days: Annotated[float, typer.Option(min=0, help="Keep what a build used within so many days.")] = 30,
) -> None:
    """Remove the stages, and the snapshots of the web, that no recent build used. Fetched images stay."""
    from mmecinstruct.engine.workspace import Workspace
    from mmecinstruct.web.images.run import FETCHED_FOLDER
    from mmecinstruct.web.images.snapshot import remove_old_snapshots

    store = Workspace(workspace)
    if not workspace.is_dir():
        raise WorkspaceError(f"--workspace {workspace}: there is no such folder")
    if not store.is_there():
        raise WorkspaceError(f"--workspace {workspace}: it is no workspace; name the folder that builds use")
    with store.lock():
        removed, freed = store.clean(days)
        freed += remove_old_snapshots(workspace / FETCHED_FOLDER, days)
    say(f"{workspace}: removed {removed} stages, freed {freed / 1e6:.1f} MB")
