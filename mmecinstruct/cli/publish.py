"""The command that publishes: `mmec push-to-hub`."""

from __future__ import annotations

from typing import Annotated

import typer

from mmecinstruct import api
from mmecinstruct.cli.options import AsJson, DatasetFolder
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import quiet_libraries, show

panel = Panel("Publish")


@panel.command(
    "push-to-hub",
    "mmec push-to-hub dataset-sample user/my-shop --private --dry-run",
    "mmec push-to-hub dataset-sample user/my-shop --private",
)
def push_to_hub(
    folder: DatasetFolder,
    repo: Annotated[
        str, typer.Argument(metavar="REPO", show_default=False, help="The dataset repository, as user/name.")
    ] = "",
    repo_option: Annotated[str, typer.Option("--repo", hidden=True)] = "",
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded; connect to nothing.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to; default: main.")] = None,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a dataset folder on the Hugging Face Hub as it is.

    The token is taken from HF_TOKEN or from `hf auth login`. A damaged folder is not uploaded.
    """
    if bool(repo) == bool(repo_option):
        raise typer.BadParameter("give the dataset repository once, as user/name")
    quiet_libraries()
    result = api.push_to_hub(
        folder, repo or repo_option, private=private, dry_run=dry_run, revision=revision, message=message
    )
    show(result.to_json() if as_json else result)
