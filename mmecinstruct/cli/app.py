"""The command `mmec`: thin over the Python API. Data goes to stdout, talk to stderr.

Heavy libraries are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct.cli import raw_files
from mmecinstruct.cli.report import print_report
from mmecinstruct.core.console import say, show_progress
from mmecinstruct.core.errors import MmecError
from mmecinstruct.version import __version__

app = typer.Typer(
    name="mmec",
    help="Build e-commerce multimodal instruction datasets.",
    epilog="Start with: mmec build --tasks all",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DEFAULT_WORKSPACE = Path(".mmec")
INTERRUPTED = 130  # exit code after Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mmec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def parse_task_list(text: str) -> list[str]:
    """Return full task names from `all` or a comma-separated list of names or short names.

    Raises RecipeError for a name that does not exist.
    """
    from mmecinstruct.core.errors import RecipeError
    from mmecinstruct.tasks import TASKS

    if text.strip() == "all":
        return list(TASKS)
    full_names = {task.short_name: name for name, task in TASKS.items()} | {name: name for name in TASKS}
    wanted = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in full_names:
            known = ", ".join(f"{task.name} ({task.short_name})" for task in TASKS.values())
            raise RecipeError(f"--tasks: no task '{name}'; there are all, {known}")
        if full_names[name] not in wanted:
            wanted.append(full_names[name])
    if not wanted:
        raise RecipeError("--tasks: name at least one task, or all")
    return wanted


@app.command(
    epilog="Examples:\n\n"
    "  mmec build --tasks all\n\n"
    "  mmec build --recipe catalog --data my_shop --out my_dataset\n\n"
    "  mmec build --tasks cc,sa --set sizes.train=100 --workers 2\n\n"
    "  mmec build --recipe my-shop.yaml --licences open --set images.publish=reference"
)
def build(
    recipe: Annotated[
        str, typer.Option(help="A built-in recipe's name (see `mmec recipes`) or a YAML file.")
    ] = ("sample"),
    tasks: Annotated[str, typer.Option(help="`all`, or a comma-separated list of tasks.")] = "all",
    out: Annotated[
        Path | None, typer.Option(help="The dataset folder to write; default: ./dataset-RECIPE.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Root of the recipe's relative paths.")] = Path("."),
    workspace: Annotated[
        Path, typer.Option(help="Where finished stages are kept between builds.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes; default: one per core, where the recipe's memory suffices. Changes no byte.",
        ),
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where shards are worked on: `local` or `ray`. Changes no byte.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster, as host:port or `auto`; default: $RAY_ADDRESS, else one is started here."
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again for images that could not be fetched for now."),
    ] = False,
    licences: Annotated[
        str | None,
        typer.Option(
            metavar="any|open",
            help="`open`: only from sources that anyone may pass on (see `mmec sources`); default: the recipe's.",
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the recipe; repeatable."),
    ] = None,
) -> None:
    """Build a dataset folder from a recipe.

    Without --recipe the built-in shop is drawn and built, offline, in about a minute. A build that was
    interrupted continues where it stopped; a finished one is done at once.
    """
    from mmecinstruct.core.errors import RecipeError
    from mmecinstruct.recipe import load_recipe

    if licences is not None and licences not in ("any", "open"):
        raise RecipeError(f"--licences {licences}: say any or open")
    stated = [] if licences is None else [f"licences={licences}"]
    loaded = load_recipe(recipe, [*(override or []), *stated])
    wanted = parse_task_list(tasks)
    target = out if out is not None else Path(f"dataset-{loaded.name}")
    if loaded.sample is None and not data.is_dir():
        raise RecipeError(f"--data {data}: there is no such folder")
    from mmecinstruct.pipeline.build import build as build_dataset

    # Ray prints what happens to its nodes where data goes.
    with redirect_stdout(sys.stderr), show_progress() as report:
        done = build_dataset(
            loaded,
            target,
            workspace=workspace,
            data=data,
            tasks=wanted,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            retry_failed=retry_failed,
            report=report,
        )
    print_report(done)
    print(target)


app.command(epilog=raw_files.PULL_EXAMPLES)(raw_files.pull)


@app.command(
    epilog="Examples:\n\n"
    "  mmec images photos --contact-sheet\n\n"
    "  mmec images products.csv --column image --product-column sku --set images.min_side=100\n\n"
    "  mmec images urls.csv --set fetch.enabled=true --set fetch.contact=https://shop.example/about"
)
def images(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_TABLE", help="Image files, or CSV, JSON lines, Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("images"),
    column: Annotated[str, typer.Option(help="The table's column of URLs or paths.")] = "image_url",
    product_column: Annotated[
        str | None, typer.Option(help="Whose image it is: tells placeholders that many products share.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Root of a table's relative paths; default: the table's folder.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take the recipe's parts `images` and `fetch`; default: the defaults.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; repeatable."),
    ] = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Draw what each reason rejected.")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask again for images that could not be fetched for now."),
    ] = False,
    workspace: Annotated[
        Path, typer.Option(help="Where finished stages are kept.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
) -> None:
    """Check, normalise and measure images alone, without building a dataset."""
    from mmecinstruct.engine.executors.local import cores
    from mmecinstruct.pipeline.check_images import check_images
    from mmecinstruct.recipe import load_image_check_settings

    settings = load_image_check_settings(recipe, override or [])
    with show_progress() as report:
        done = check_images(
            source,
            out,
            settings,
            workspace=workspace,
            column=column,
            product_column=product_column,
            data=data,
            workers=workers or cores(),
            sheet=contact_sheet,
            retry_failed=retry_failed,
            report=report,
        )
    say(f"{done.images} images, {done.kept} kept")
    if done.reasons:
        say(f"Rejected, each with its reason in {out / 'rejections.parquet'}:")
    for reason, count in done.reasons.items():
        say(f"  {reason}: {count}")
    print(out)


@app.command(epilog="Example: mmec validate dataset-sample")
def validate(
    folder: Annotated[Path, typer.Argument(help="A dataset folder.")],
    decode: Annotated[bool, typer.Option(help="Decode every image.")] = True,
) -> None:
    """Check a dataset folder; exit 1 with the reasons when it is damaged."""
    from mmecinstruct.dataset.validate import format_problems, validate_folder

    with show_progress() as report:
        problems = validate_folder(folder, decode=decode, progress=report)
    if problems:
        print(format_problems(problems))
        say(f"{folder}: {len(problems)} problem(s)")
        raise typer.Exit(1)
    say(f"{folder}: valid")


@app.command(
    epilog="Examples:\n\n"
    "  mmec audit dataset-sample\n\n"
    "  mmec audit their_dataset --recipe strict.yaml --out audit.json"
)
def audit(
    folder: Annotated[Path, typer.Argument(help="A dataset folder: <task>/<split>-*.parquet.")],
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe whose part `audit` says what is tolerated; default: the folder's own."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=0, max=100, help="Examples per finding; default: the recipe's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the whole report: .json, or .md for Markdown.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one per core. Changes no result.")
    ] = None,
) -> None:
    """Show what the splits of a dataset folder share.

    Exit code 1: more than the recipe tolerates; 2: the folder cannot be read.
    """
    from mmecinstruct.auditing import audit_folder, report_markdown, settings_of_folder
    from mmecinstruct.core.files import write_atomically
    from mmecinstruct.engine.executors.local import cores
    from mmecinstruct.recipe import load_recipe

    if out is not None and out.suffix not in (".json", ".md"):
        raise typer.BadParameter(f"--out {out}: the name ends in .json or .md")
    try:
        settings = load_recipe(recipe).audit if recipe is not None else settings_of_folder(folder)
        if examples is not None:
            settings = settings.model_copy(update={"examples": examples})
        with show_progress() as report:
            found = audit_folder(folder, settings, workers=workers or cores(), report=report)
    except MmecError as error:
        say(f"error: {error}")
        raise typer.Exit(2) from error
    text = report_markdown(found)
    print(text, end="")
    if out is not None:
        write_atomically(out, (found.to_json() if out.suffix == ".json" else text).encode())
    for check in found.unchecked:
        say(f"{check.kind}: {check.status}: {check.note}")
    if found.unread:
        say(f"{len(found.unread)} Parquet file(s) not read: no samples of a split that is known, see above")
    if found.proves_nothing:
        say(f"error: {folder}: the files have none of the columns that an audit compares")
        raise typer.Exit(2)
    if found.exceeded:
        say(f"{folder}: {len(found.exceeded)} finding(s) above what is tolerated")
        raise typer.Exit(1)
    say(f"{folder}: nothing above what is tolerated")


@app.command(
    "push-to-hub",
    epilog="Example: mmec push-to-hub dataset-sample --repo user/my-shop --private",
)
def push_to_hub(
    folder: Annotated[Path, typer.Argument(help="A dataset folder.")],
    repo: Annotated[str, typer.Option(help="The dataset repository, as user/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded and touch nothing.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to; default: main.")] = None,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
) -> None:
    """Publish a dataset folder on the Hugging Face Hub as it is.

    The token is taken from HF_TOKEN or from `hf auth login`. A damaged folder is refused.
    """
    from mmecinstruct.publish.push import push_folder

    result = push_folder(folder, repo, private=private, dry_run=dry_run, revision=revision, message=message)
    print(result)


takedown_app = typer.Typer(
    help="The list of what no later build of a workspace may hold.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(takedown_app, name="takedown")


@takedown_app.command(
    "add",
    epilog="Examples:\n\n"
    "  mmec takedown add product amazon18:B00EXAMPLE --note 'asked for by the seller'\n\n"
    "  mmec takedown add url https://shop.example/a.jpg",
)
def add_takedown_command(
    kind: Annotated[str, typer.Argument(help="product, url or image.")],
    value: Annotated[
        str, typer.Argument(help="The product's id, the image's URL, or the SHA-256 of its received bytes.")
    ],
    note: Annotated[str, typer.Option(help="Why, for whoever reads the list.")] = "",
    workspace: Annotated[
        Path, typer.Option(help="The workspace that holds the list.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
) -> None:
    """Put a product, URL or image on the list, and remove its fetched images (a product's in the next build of it).

    Datasets that are already written or pushed do not change: build and push them again. `mmec clean --days 0` removes
    what earlier builds left in the workspace.
    """
    from mmecinstruct.engine.workspace import Workspace
    from mmecinstruct.web.images import FETCHED_FOLDER, add_takedown

    with Workspace(workspace).lock():
        entry = add_takedown(workspace, workspace / FETCHED_FOLDER, kind, value, note)
    say(f"{workspace}: no later build holds {entry.kind} {entry.value}")


@takedown_app.command("list", epilog="Example: mmec takedown list")
def list_takedowns(
    workspace: Annotated[
        Path, typer.Option(help="The workspace that holds the list.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
) -> None:
    """Print the list: kind, value and note, separated by tabs."""
    from mmecinstruct.core.errors import WorkspaceError
    from mmecinstruct.web.images import load_takedowns

    if not workspace.is_dir():
        raise WorkspaceError(f"--workspace {workspace}: there is no such folder")
    for entry in load_takedowns(workspace).entries:
        print(f"{entry.kind}\t{entry.value}\t{entry.note}")


app.command(epilog=raw_files.MINIATURE_EXAMPLES)(raw_files.miniature)


@app.command()
def recipes() -> None:
    """List the built-in recipes."""
    from mmecinstruct.recipe import built_in_recipes, load_recipe

    for name, path in built_in_recipes().items():
        print(f"{name}\t{load_recipe(str(path)).description}")


app.command(epilog=raw_files.SOURCES_EXAMPLES)(raw_files.sources)


@app.command()
def clean(
    workspace: Annotated[
        Path, typer.Option(help="The workspace to clean.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
    days: Annotated[float, typer.Option(min=0, help="Keep what a build used within so many days.")] = 30,
) -> None:
    """Remove the stages, and the snapshots of the web, that no recent build used. Fetched images stay."""
    from mmecinstruct.core.errors import WorkspaceError
    from mmecinstruct.engine.workspace import Workspace
    from mmecinstruct.web.images import FETCHED_FOLDER, remove_old_snapshots

    if not workspace.is_dir():
        raise WorkspaceError(f"--workspace {workspace}: there is no such folder")
    store = Workspace(workspace)
    with store.lock():
        removed, freed = store.clean(days)
        freed += remove_old_snapshots(workspace / FETCHED_FOLDER, days)
    say(f"{workspace}: removed {removed} stages, freed {freed / 1e6:.1f} MB")


def main() -> None:
    """Run the command; turn an error that the user can act on into a message and exit code 1."""
    try:
        app()
    except MmecError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Ctrl-C within a command, which typer turns into an exit
            _say_interrupted()
        raise
    except OSError as error:  # a disk, a permission: what a user can mend; the error names the file
        say(f"error: {error}")
        sys.exit(1)


def _say_interrupted() -> None:
    say("interrupted; run the same command again: it continues where it stopped")


if __name__ == "__main__":
    main()
