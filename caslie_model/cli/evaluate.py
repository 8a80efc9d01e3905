"""The commands that ask a model, and score it: `caslie_model predict` and `caslie_model evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from caslie_model import api_evaluation
from caslie_model.cli import table as table_options
from caslie_model.cli.ask import Options
from caslie_model.cli.asking import with_asking_options
from caslie_model.cli.options import AsJson, Overwrite
from caslie_model.errors import ConfigError
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import quiet_libraries, say, tell_what_is_kept

panel = Panel("Evaluate")

_KEPT = "what was answered is kept, and the same command goes on"
CountOnly = Annotated[
    bool, typer.Option("--dry-run", help="Count the samples to answer; load no model, write nothing.")
]


_MODEL_IS_OPTIONAL = {
    "model": Annotated[
        str | None,
        typer.Option(
            help="Adapter or merged model, preset, language or image-text model: a folder, or user/name on the Hub; "
            "openai:NAME at a server. Needed but with --predictions."
        ),
    ],
}


@panel.command(
    "evaluate",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results-ap --tasks ap --scoring likelihood",
    "caslie_model evaluate --model smollm2-135m --data my-dataset --out zero-shot",
    "caslie_model evaluate --model my-adapter --data my-dataset --out results --limit 50 --dry-run",
    "torchrun --nproc-per-node 2 -m caslie_model evaluate --model my-adapter --data my-dataset --out results",
    "caslie_model evaluate --predictions answers.jsonl --data my-dataset --out results-of-file --lenient",
)
@partial(with_asking_options, optional=_MODEL_IS_OPTIONAL)
def evaluate(
    fields: dict[str, Any],
    override: Sequence[str],
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score this file and load no model: predictions.jsonl, or JSON lines or CSV with `id` and `text`."
        ),
    ] = None,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="Add the figures of the paper's released scoring, faults included."),
    ] = False,
    export: Annotated[
        Literal["lm-eval"] | None,
        typer.Option(help="Write the results also as files of lm-evaluation-harness."),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: CountOnly = False,
    as_json: AsJson = False,
) -> None:
    """Answer test samples, and report metrics per task and split beside the majority baseline.

    A stopped evaluation continues when it is started again.
    """
    import json

    from caslie_model.config.presets import evaluate_config

    if "model" not in fields and predictions is None:
        raise typer.BadParameter("give a model, or --predictions", param_hint="--model")
    config = evaluate_config(
        override,
        **fields,
        predictions=predictions,
        lenient=lenient,
        export=(export,) if export else (),
    )
    quiet_libraries()
    if dry_run:
        _print_estimate(config, overwrite, as_json)
        return
    from caslie_model.evaluation.evaluate import METRICS_TEXT
    from caslie_model.evaluation.tables import print_metrics

    with tell_what_is_kept(_KEPT):
        result = api_evaluation.evaluate(config, overwrite=overwrite)
    if not is_first_process():
        return
    if as_json:
        print(json.dumps(result.metrics, indent=1, ensure_ascii=False))
    else:
        print_metrics(result.metrics)
    say(f"written: {result.folder / METRICS_TEXT}")


@panel.command(
    "predict",
    "caslie_model predict --model my-adapter --data my-dataset --out answers",
    "caslie_model predict --model Qwen/Qwen2.5-VL-3B-Instruct --data my-dataset --out answers --tasks cc,sa",
    "caslie_model predict --model openai:my-model --server http://127.0.0.1:8000/v1 --data my-dataset --out answers",
    "caslie_model predict --model my-adapter --data my-dataset --out answers --permute-options 3",
    "caslie_model predict --model my-adapter --table products.csv --task cc --mapping my-shop.yaml --out answers.csv",
)
@partial(with_asking_options, optional=table_options.OPTIONAL)
def predict(
    fields: dict[str, Any],
    override: Sequence[str],
    table: table_options.Table = None,
    task: table_options.OptionalTask = None,
    mapping: table_options.Mapped = None,
    options: Options = None,
    options_column: table_options.OptionsColumn = None,
    query_column: table_options.QueryColumn = None,
    question_column: table_options.QuestionColumn = None,
    review_column: table_options.ReviewColumn = None,
    no_images: table_options.NoImages = False,
    contact: table_options.Contact = None,
    overwrite: Overwrite = False,
    dry_run: CountOnly = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model the samples of a dataset, and write its answers only; `evaluate` into the same folder scores them.

    With --table, ask it about every row of a shop's table, and write a table of answers. A stopped run continues when
    it is started again.
    """
    import json

    from caslie_model.config.presets import predict_config

    of_table = {
        "mapping": mapping,
        "options_column": options_column,
        "query_column": query_column,
        "question_column": question_column,
        "review_column": review_column,
        "contact": contact,
    }
    if table is not None:
        if dry_run:
            raise ConfigError("--dry-run counts the samples of a dataset; leave it out with --table")
        quiet_libraries()
        table_options.answer_table(
            table,
            fields,
            override,
            task=task,
            options=options,
            overwrite=overwrite,
            as_json=as_json,
            images=not no_images,
            **of_table,
        )
        return
    given = {**of_table, "task": task, "options": options, "no_images": no_images}
    if wrong := next((name for name, value in given.items() if value), None):
        raise ConfigError(f"--{wrong.replace('_', '-')} goes with --table")
    if "data" not in fields:
        raise ConfigError("say what is asked: --data with a dataset, or --table with a shop's table")
    config = predict_config(override, **fields)
    quiet_libraries()
    if dry_run:
        _print_estimate(config, overwrite, as_json)
        return

    with tell_what_is_kept(_KEPT):
        result = api_evaluation.predict(config, overwrite=overwrite)
    if not is_first_process():
        return
    if as_json:
        print(json.dumps({"questions": result.questions, "answered": len(result.records)}))
    say(f"written: {result.file}, {len(result.records)} of {result.questions} answers")


def _print_estimate(config: Any, overwrite: bool, as_json: bool) -> None:
    import json

    from caslie_model.evaluation.dry_run import estimate_evaluation, estimate_table

    estimate = estimate_evaluation(config, overwrite)
    print(json.dumps(estimate, indent=1) if as_json else estimate_table(estimate))
