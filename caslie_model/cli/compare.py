"""The command that sets evaluated models side by side: `caslie_model compare`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import quiet_libraries, say, show
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import check_output_file

panel = Panel("Evaluate")

_COMMAND = "caslie_model compare"


@panel.command(
    "compare",
    "caslie_model compare results-a results-b",
    "caslie_model compare results-a results-b results-c --reference results-b --out compared.md",
    "caslie_model compare results-a results-b --html compared.html --samples 10 --published",
)
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Two or more folders of `caslie_model evaluate`.")],
    reference: Annotated[
        str | None,
        typer.Option(
            help="The one that others are compared with: a folder, its name or its letter; default: the first."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Where the dataset is now; default: where the evaluations found it."),
    ] = None,
    common: Annotated[
        bool,
        typer.Option(
            "--common", help="Compare the samples that all models were asked, if they were asked other ones."
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            min=0,
            help="Samples shown per task, split and pair of models that the one has right and the other wrong.",
        ),
    ] = 5,
    published: Annotated[
        bool, typer.Option("--published", help="Put the paper's scores beside, marked as such.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write a report: FILE.md (Markdown) or FILE.json.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page of one file, with charts and the samples' images.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap and of the shown samples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare models by their answers to the same samples: differences, intervals, tests, and the samples behind them.

    Whole users, queries or products are resampled, and the same ones for all models. p-values are corrected for the
    number of comparisons.
    """
    if out is not None and out.suffix not in (".md", ".json"):
        raise typer.BadParameter(f"{out}: the name ends with .md or .json", param_hint="--out")
    for path, setting in ((out, "out"), (html, "html")):
        if path is not None:
            check_output_file(path, _COMMAND, setting)
    quiet_libraries()
    result = api_evaluation.compare(
        *folders,
        reference=reference,
        data=data,
        common=common,
        samples=samples,
        published=published,
        resamples=resamples,
        seed=seed,
    )
    for note in result.content["notes"]:
        say(f"note: {note}")
    if as_json:
        print(result.json(), end="")
    else:
        show(result.text(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    if out is not None:
        write_atomically(out, (result.json() if out.suffix == ".json" else result.markdown()).encode())
        say(f"written: {out}")
    if html is not None:
        write_atomically(html, result.html().encode())
        say(f"written: {html}")
