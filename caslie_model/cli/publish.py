"""Commands that hand a model on: `caslie_model merge`, `push-to-hub`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caslie_model import api
from caslie_model.cli.options import AsJson, Base
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import quiet_libraries, say

panel = Panel("Publish")


@panel.command(
    "merge",
    "caslie_model merge my-adapter --out my-model",
    "caslie_model merge my-adapter --out my-model --base models/base",
)
def merge(
    adapter: Annotated[Path, typer.Argument(help="A finished adapter folder.")],
    out: Annotated[Path, typer.Option(help="Model folder to write; new or empty.")],
    base: Base = None,
    full_base: Annotated[
        bool, typer.Option("--full-base", help="Also one that was trained on a quantised base model.")
    ] = False,
) -> None:
    """Write a base model and its adapter as one model folder, and check that it gives the same logits."""
    quiet_libraries()
    result = api.merge(adapter, out, full_base=full_base, base=base)
    print(result.folder)
    say(f"logits differ by at most {result.deviation:.1e} of their spread")


@panel.command("push", hidden=True)
@panel.command(
    "push-to-hub",
    "caslie_model push-to-hub my-adapter user/my-adapter --license apache-2.0 --evaluation results --dry-run",
    "caslie_model push-to-hub my-adapter user/my-adapter --license apache-2.0 --evaluation results",
    "caslie_model evaluate --model user/my-adapter --data my-dataset --out results-again",
)
def push_to_hub(
    model: Annotated[Path, typer.Argument(help="A finished adapter folder, or a merged one.")],
    repo: Annotated[str, typer.Argument(help="The model repository, as user/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded; connect to nothing.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to; default: main.")] = None,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="For the card, e.g. apache-2.0; default: the one it has on the Hub."),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of `evaluate` whose figures go along, as .eval_results.")
    ] = None,
    model_index: Annotated[
        bool, typer.Option("--model-index", help="Write the figures into the card's model-index as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a model with its card on the Hugging Face Hub: no checkpoints, no paths of this machine.

    The token is taken from HF_TOKEN or from `hf auth login`. Files that the Hub has already are not sent again.
    """
    quiet_libraries()
    pushed = api.push_model(
        model,
        repo,
        private=private,
        dry_run=dry_run,
        revision=revision,
        message=message,
        license=license_id,
        evaluation=evaluation,
        with_model_index=model_index,
    )
    for note in pushed.notes:
        say(f"note: {note}")
    print(pushed.result.to_json() if as_json else pushed.result)
