"""The command that evaluates baselines: `caslie_model baseline`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson, Override, Overwrite, Tasks
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, show, tell_what_is_kept
from mmecinstruct.reporting.tables import table_text

panel = Panel("Evaluate")

_LIST = "list"
_KEPT = "what was answered is kept, and the same command goes on"


@panel.command(
    "baseline",
    "caslie_model baseline list",
    "caslie_model baseline tfidf --data my-dataset --out results-tfidf",
    "caslie_model baseline all --data my-dataset --out baselines --tasks ap,sa",
)
def baseline(
    name: Annotated[
        str,
        typer.Argument(help="A baseline; `all` for all that fit the dataset; `list` to print the names."),
    ],
    data: Annotated[
        str | None, typer.Option(help="Dataset folder, or user/name on the Hub. Needed but with `list`.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions and metrics; with `all`, each baseline's is OUT/NAME."),
    ] = None,
    tasks: Tasks = "all",
    splits: Annotated[str, typer.Option(help="Splits, separated by commas.")] = "test,test_ood",
    limit: Annotated[
        int | None,
        typer.Option(help="At most so many samples per task and split, in the hash order of their ids."),
    ] = None,
    override: Override = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fit a baseline to the training split, and report its metrics, as `evaluate --model baseline:NAME` does.

    A stopped run continues when it is started again.
    """
    from caslie_model.evaluation.evaluate_baselines import table_of_baselines
    from caslie_model.evaluation.tables import print_metrics

    if name == _LIST:
        table = table_of_baselines()
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        keys = [column.name.replace(" ", "_") for column in table.columns]
        rows = [dict(zip(keys, row.cells, strict=True)) for row in table.rows]
        show(json.dumps(rows, indent=1) + "\n" if as_json else table_text(table, width))
        return
    for value, option in ((data, "--data"), (out, "--out")):
        if value is None:
            raise typer.BadParameter("needed but with `list`", param_hint=option)
    quiet_libraries()
    with tell_what_is_kept(_KEPT):
        results = api_evaluation.baseline(
            name,
            data,
            out,
            overwrite=overwrite,
            overrides=override or (),
            tasks=comma_list(tasks),
            splits=comma_list(splits),
            limit=limit,
        )
    if not is_first_process():
        return
    if as_json:
        print(json.dumps({each: result.metrics for each, result in results.items()}, ensure_ascii=False))
    for each, result in results.items():
        if not as_json:
            say(f"{each}:")
            print_metrics(result.metrics)
        say(f"written: {result.folder}")
