"""Images without a build: `mmec images`, and the takedown list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmecinstruct import api
from mmecinstruct.cli.options import (
    DEFAULT_WORKSPACE,
    AsJson,
    OtherRecipe,
    Override,
    RetryFailed,
    Workers,
    Workspace,
)
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import say, show, show_progress, tell_what_is_kept
from mmecinstruct.core.errors import WorkspaceError
from mmecinstruct.core.output_folder import WORKSPACE, check_output

panel = Panel("Images")


@panel.command(
    "images",
    "mmec images photos --contact-sheet",
    "mmec images photos --near",
    "mmec images products.csv --column image --product-column sku --set images.min_side=100",
    "mmec images urls.csv --set fetch.enabled=true --set fetch.contact=https://shop.example/about",
)
def images(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_TABLE", help="Image files, or CSV, JSON lines, Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("checked-images"),
    column: Annotated[str, typer.Option(help="The table's column of URLs or paths.")] = "image_url",
    product_column: Annotated[
        str | None,
        typer.Option(help="The table's column of products: finds placeholders that many products share."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Root of the table's relative paths; default: the table's folder.")
    ] = None,
    recipe: OtherRecipe = None,
    override: Override = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Render a sheet of the rejected images by reason.")
    ] = False,
    near: Annotated[
        bool,
        typer.Option("--near", help="List same, near, mirrored, cropped, bordered and covered images."),
    ] = False,
    retry_failed: RetryFailed = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Check, normalise and measure images alone, without building a dataset.

    The recipe's parts `images`, `fetch` and `duplicates` are used.
    """
    with tell_what_is_kept(), show_progress() as progress:
        done = api.check_images(
            source,
            out,
            recipe=recipe,
            overrides=override or (),
            column=column,
            product_column=product_column,
            data=data,
            contact_sheet=contact_sheet,
            near=near,
            retry_failed=retry_failed,
            workspace=workspace,
            workers=workers,
            progress=progress,
        )
    say(f"{done.images} images, {done.kept} kept")
    if done.reasons:
        say(f"Rejected, each with its reason in {out / 'rejections.parquet'}:")
    for reason, count in done.reasons.items():
        say(f"  {reason}: {count}")
    if done.near is not None:
        say(f"{sum(done.near.values())} near pairs, each with its kind in {out / 'near.csv'}")
    for kind, count in (done.near or {}).items():
        say(f"  {kind}: {count}")
    if done.near is not None and not done.edits_searched:
        say("  too many images to search cropped, bordered and covered ones; check at most 20,000 at once")
    if as_json:
        import json
        from dataclasses import asdict

        show(json.dumps(asdict(done), indent=1, default=str))
    else:
        show(out)


takedown = panel.group("takedown", "The list of objects that no later build of a workspace may hold.")


@takedown.command(
    "add",
    "mmec takedown add product amazon18:B00EXAMPLE --note 'asked for by the seller'",
    "mmec takedown add url https://shop.example/a.jpg",
)
def add_takedown(
    kind: Annotated[Literal["product", "url", "image"], typer.Argument(help="What VALUE names.")],
    value: Annotated[
        str, typer.Argument(help="The product's id, the image's URL, or the SHA-256 of its received bytes.")
    ],
    note: Annotated[str, typer.Option(help="Why, for readers of the list.")] = "",
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Put a product, URL or image on the list, and remove its fetched images (a product's in the next build of it).

    Datasets that are already written or pushed do not change: build and push them again. `mmec clean --days 0` removes
    what earlier builds left in the workspace.
    """
    from mmecinstruct.engine.workspace import Workspace
    from mmecinstruct.web.images.run import FETCHED_FOLDER
    from mmecinstruct.web.images.takedowns import add_takedown

    check_output(workspace, WORKSPACE, setting="workspace")
    with Workspace(workspace).lock():
        entry = add_takedown(workspace, workspace / FETCHED_FOLDER, kind, value, note)
    say(f"{workspace}: no later build holds {entry.kind} {entry.value}")


@takedown.command("remove", "mmec takedown remove url https://shop.example/a.jpg")
def remove_takedown(
    kind: Annotated[Literal["product", "url", "image"], typer.Argument(help="What VALUE names.")],
    value: Annotated[str, typer.Argument(help="As it is on the list.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Take a product, URL or image off the list; the next build asks for its images again."""
    from mmecinstruct.engine.workspace import Workspace
    from mmecinstruct.web.images.run import FETCHED_FOLDER
    from mmecinstruct.web.images.takedowns import remove_takedown

    _check_workspace(workspace)
    with Workspace(workspace).lock():
        entry = remove_takedown(workspace, workspace / FETCHED_FOLDER, kind, value)
    say(f"{workspace}: {entry.kind} {entry.value} is off the list")


def _check_workspace(workspace: Path) -> None:
    if not workspace.is_dir():
        raise WorkspaceError(f"workspace={workspace}: there is no such folder")


@takedown.command("list", "mmec takedown list")
def list_takedowns(workspace: Workspace = DEFAULT_WORKSPACE, as_json: AsJson = False) -> None:
    """Print the list: kind, value and note, separated by tabs."""
    from mmecinstruct.web.images.takedowns import load_takedowns

    _check_workspace(workspace)
    entries = load_takedowns(workspace).entries
    if as_json:
        import json
        from dataclasses import asdict

        show(json.dumps([asdict(entry) for entry in entries], indent=1, ensure_ascii=False))
        return
    for entry in entries:
        show(f"{entry.kind}\t{entry.value}\t{entry.note}")
