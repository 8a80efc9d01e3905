"""The command that measures: `caslie_model evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from caslie_model import api
from caslie_model.cli.options import AsJson, Base, Data, Override, Overwrite, Tasks
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, tell_what_is_kept

panel = Panel("Evaluate")


@panel.command(
    "evaluate",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results-ap --tasks ap --scoring likelihood",
    "caslie_model evaluate --model smollm2-135m --base-only --data my-dataset --out zero-shot",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results --limit 50 --dry-run",
    "caslie_model evaluate --predictions answers.jsonl --data my-dataset --out results-of-file --lenient",
)
def evaluate(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for predictions and metrics.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Adapter folder, or user/name of one; with --base-only also a preset or base model."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score this file and load no model: predictions.jsonl, or JSON lines or CSV with `id` and `text`."
        ),
    ] = None,
    splits: Annotated[str, typer.Option(help="Splits, separated by commas.")] = "test,test_ood",
    tasks: Tasks = "all",
    base: Base = None,
    base_only: Annotated[bool, typer.Option("--base-only", help="The model without its adapter.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="At most so many samples per task and split, in the hash order of their ids."),
    ] = None,
    subset: Annotated[
        Literal["all", "visual-critical", "text"],
        typer.Option(help="visual-critical: samples that need the image; text: those that do not."),
    ] = "all",
    scoring: Annotated[
        Literal["generate", "likelihood"],
        typer.Option(help="Generate the answer, or take the likeliest allowed one."),
    ] = "generate",
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="Add the figures of the paper's released scoring, faults included."),
    ] = False,
    export: Annotated[
        Literal["lm-eval"] | None,
        typer.Option(help="Write the results also as files of lm-evaluation-harness."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples at once; changes no answer.")] = 8,
    override: Override = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the samples to answer; load no model, write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer test samples, and report metrics per task and split beside the majority baseline.

    A stopped evaluation continues when it is started again.
    """
    import json

    from caslie_model.config.presets import evaluate_config

    if model is None and predictions is None:
        raise typer.BadParameter("give a model, or --predictions", param_hint="--model")
    config = evaluate_config(
        override or (),
        model=model,
        predictions=predictions,
        lenient=lenient,
        export=(export,) if export else (),
        data=data,
        out=out,
        splits=comma_list(splits),
        tasks=comma_list(tasks),
        base=base,
        base_only=base_only,
        limit=limit,
        subset=subset,
        scoring=scoring,
        batch_size=batch_size,
    )
    quiet_libraries()
    if dry_run:
        from caslie_model.evaluation.dry_run import estimate_evaluation, estimate_table

        estimate = estimate_evaluation(config, overwrite)
        print(json.dumps(estimate, indent=1) if as_json else estimate_table(estimate))
        return
    from caslie_model.evaluation.evaluate import METRICS_TEXT
    from caslie_model.evaluation.tables import print_metrics

    with tell_what_is_kept("what was answered is kept, and the same command goes on"):
        result = api.evaluate(config, overwrite=overwrite)
    if as_json:
        print(json.dumps(result.metrics, indent=1, ensure_ascii=False))
    else:
        print_metrics(result.metrics)
    say(f"written: {result.folder / METRICS_TEXT}")
