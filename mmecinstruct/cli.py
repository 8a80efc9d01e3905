"""The command `mmec`: thin over the Python API. Data goes to stdout, talk to stderr.

Heavy libraries are imported inside the commands, so that help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmecinstruct.errors import MmecError
from mmecinstruct.version import __version__

if TYPE_CHECKING:
    from mmecinstruct.pipeline.run import BuildReport
    from mmecinstruct.workspace import Report

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


def say(text: str) -> None:
    """Print talk, as opposed to data."""
    print(text, file=sys.stderr)


def parse_task_list(text: str) -> list[str]:
    """Return full task names from `all` or a comma-separated list of names or short names.

    Raises RecipeError for a name that does not exist.
    """
    from mmecinstruct.errors import RecipeError
    from mmecinstruct.samples import SHORT_NAMES, TASKS

    if text.strip() == "all":
        return list(TASKS)
    full_names = {short: task for task, short in SHORT_NAMES.items()} | {task: task for task in TASKS}
    wanted = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in full_names:
            known = ", ".join(f"{task} ({short})" for task, short in SHORT_NAMES.items())
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
    "  mmec build --tasks cc,sa --set sizes.train=100 --workers 2"
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
        int | None, typer.Option(min=1, help="Processes; default: one per core. Changes no byte.")
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
    from mmecinstruct.errors import RecipeError
    from mmecinstruct.recipe import load_recipe

    loaded = load_recipe(recipe, override or [])
    wanted = parse_task_list(tasks)
    target = out if out is not None else Path(f"dataset-{loaded.name}")
    if loaded.sample is None and not data.is_dir():
        raise RecipeError(f"--data {data}: there is no such folder")
    from mmecinstruct.pipeline.build import build as build_dataset

    with _progress() as report:
        done = build_dataset(
            loaded,
            target,
            workspace=workspace,
            data=data,
            tasks=wanted,
            workers=workers or _cores(),
            report=report,
        )
    _print_report(done)
    print(target)


@app.command(
    epilog="Examples:\n\n"
    "  mmec images photos --contact-sheet\n\n"
    "  mmec images products.csv --column picture --product-column sku --set min_side=100"
)
def images(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_TABLE", help="Picture files, or CSV, JSON lines, Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("pictures"),
    column: Annotated[str, typer.Option(help="The table's column of URLs or paths.")] = "image_url",
    product_column: Annotated[
        str | None, typer.Option(help="Whose picture it is: tells placeholders that many products share.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Root of a table's relative paths; default: the table's folder.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take the recipe's images settings; default: the defaults.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of images; repeatable."),
    ] = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Draw what each reason rejected.")
    ] = False,
    workspace: Annotated[
        Path, typer.Option(help="Where finished stages are kept.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
) -> None:
    """Check, normalise and measure pictures alone, without building a dataset."""
    from mmecinstruct.pipeline.check_pictures import check_pictures
    from mmecinstruct.recipe import load_image_settings

    settings = load_image_settings(recipe, override or [])
    with _progress() as report:
        done = check_pictures(
            source,
            out,
            settings,
            workspace=workspace,
            column=column,
            product_column=product_column,
            data=data,
            workers=workers or _cores(),
            sheet=contact_sheet,
            report=report,
        )
    say(f"{done.pictures} pictures, {done.kept} kept")
    for reason, count in done.reasons.items():
        say(f"  {reason}: {count}")
    print(out)


@app.command(epilog="Example: mmec validate dataset-sample")
def validate(
    folder: Annotated[Path, typer.Argument(help="A dataset folder.")],
    decode: Annotated[bool, typer.Option(help="Decode every picture.")] = True,
) -> None:
    """Check a dataset folder; exit 1 with the reasons when it is damaged."""
    from mmecinstruct.validate import format_problems, validate_folder

    with _progress() as report:
        problems = validate_folder(folder, decode=decode, progress=report)
    if problems:
        print(format_problems(problems))
        say(f"{folder}: {len(problems)} problem(s)")
        raise typer.Exit(1)
    say(f"{folder}: valid")


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
    from mmecinstruct.hub import push_folder

    result = push_folder(folder, repo, private=private, dry_run=dry_run, revision=revision, message=message)
    print(result)


@app.command()
def recipes() -> None:
    """List the built-in recipes."""
    from mmecinstruct.recipe import built_in_recipes, load_recipe

    for name, path in built_in_recipes().items():
        print(f"{name}\t{load_recipe(str(path)).description}")


@app.command()
def clean(
    workspace: Annotated[
        Path, typer.Option(help="The workspace to clean.", envvar="MMEC_WORKSPACE")
    ] = DEFAULT_WORKSPACE,
    days: Annotated[float, typer.Option(min=0, help="Keep what a build used within so many days.")] = 30,
) -> None:
    """Remove the stages that no recent build used."""
    from mmecinstruct.errors import WorkspaceError
    from mmecinstruct.workspace import Workspace

    if not workspace.is_dir():
        raise WorkspaceError(f"--workspace {workspace}: there is no such folder")
    store = Workspace(workspace)
    with store.lock():
        removed, freed = store.clean(days)
    say(f"{workspace}: removed {removed} stages, freed {freed / 1e6:.1f} MB")


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress() -> Iterator[Report]:
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


def _print_report(report: BuildReport) -> None:
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
    for task, why in report.missing.items():
        say(f"Not built: {task}: {'; '.join(why)}")
    if report.up_to_date:
        say(f"{report.out} was up to date.")


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
