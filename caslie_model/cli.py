"""The command line: thin over `finetune` and `evaluate`. Data on stdout, talk on stderr.

Everything heavy is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mmecinstruct.core.errors import MmecError
from mmecinstruct.version import __version__

app = typer.Typer(
    help="Fine-tune CASLIE models on MMECInstruct datasets and report metrics per task.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print tokens, parameters, FLOPs, memory and time of the run; train nothing."
    ),
]
_OldDryRun = Annotated[bool, typer.Option("--plan", hidden=True)]
_AsJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON instead of a table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"caslie_model {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("finetune")
def finetune_command(
    data: Annotated[str, typer.Option(help="Dataset folder, or user/name on the Hub.")],
    out: Annotated[Path, typer.Option(help="Adapter folder to write.")],
    preset: Annotated[
        str, typer.Option(help="Preset: caslie-s, caslie-m, caslie-l, smollm2-135m, tiny, or a YAML file.")
    ] = "smollm2-135m",
    fusion: Annotated[
        str,
        typer.Option(help="How images reach the model: text (not at all) | xattn | concat | concat-full."),
    ] = "text",
    with_lora: Annotated[
        bool, typer.Option("--lora", help="Train LoRA too; with fusion text always.")
    ] = False,
    tasks: Annotated[str, typer.Option(help="Tasks, e.g. sa,cc; default: the preset's, else all.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a setting, e.g. lr=1e-4. Repeatable."),
    ] = None,
    dry_run: _DryRun = False,
    plan: _OldDryRun = False,
    as_json: _AsJson = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
) -> None:
    """Fine-tune a language model, with LoRA or with adapters that see, and write an adapter folder.

    Examples:

      caslie_model finetune --data my-dataset --out my-adapter

      caslie_model finetune --data user/name --out my-adapter --tasks sa,ap --set lr=1e-4
      --set max_train_tokens=200000 --set answers=letter

      caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --lora --tasks cc,psi

      caslie_model finetune --data my-dataset --out try-out --preset tiny

      caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --dry-run
    """
    from caslie_model.config.presets import finetune_config
    from caslie_model.runtime.processes import is_first_process
    from caslie_model.training.finetune import finetune

    fields: dict[str, Any] = {"data": data, "out": out, "fusion": fusion}
    if tasks:
        fields["tasks"] = _names(tasks)
    if with_lora:
        fields["with_lora"] = True
    config = finetune_config(preset, settings or (), **fields)
    _quiet_libraries()
    if _estimated(config, dry_run, plan, as_json):
        return
    with _saying_what_is_kept("--resume goes on from the last checkpoint"):
        result = finetune(config, resume=resume, overwrite=overwrite)
    if is_first_process():
        print(result.folder)


@app.command("align")
def align_command(
    data: Annotated[str, typer.Option(help="Dataset folder, or user/name on the Hub: its train images.")],
    catalogue: Annotated[Path, typer.Option(help="CSV, JSON lines or Parquet: a product in each row.")],
    attributes: Annotated[str, typer.Option(help="Columns to be put into words, e.g. category,colour.")],
    out: Annotated[Path, typer.Option(help="Adapter folder to write.")],
    id_column: Annotated[str, typer.Option(help="Column of the products' ids.")] = "id",
    preset: Annotated[
        str, typer.Option(help="Preset: caslie-s, caslie-m, caslie-l, smollm2-135m, tiny, or a YAML file.")
    ] = "smollm2-135m",
    fusion: Annotated[str, typer.Option(help="xattn | concat | concat-full.")] = "xattn",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a setting, e.g. images=500. Repeatable."),
    ] = None,
    dry_run: _DryRun = False,
    plan: _OldDryRun = False,
    as_json: _AsJson = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
) -> None:
    """Teach adapters to name what images show, before any task; a fine-tuning begins with the result.

    Examples:

      caslie_model align --data my-dataset --catalogue products.csv --id-column sku --attributes category,colour
      --out aligned

      caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --set init_from=aligned
    """
    from caslie_model.config.presets import align_config
    from caslie_model.errors import ConfigError
    from caslie_model.training.align import align

    names = _names(attributes)
    if not names:
        raise ConfigError("--attributes: name one column of the catalogue or several, e.g. category,colour")
    config = align_config(
        preset,
        settings or (),
        data=data,
        catalogue=catalogue,
        attributes=names,
        out=out,
        id_column=id_column,
        fusion=fusion,
    )
    _quiet_libraries()
    if _estimated(config, dry_run, plan, as_json):
        return
    with _saying_what_is_kept("--resume goes on from the last checkpoint"):
        result = align(config, resume=resume, overwrite=overwrite)
    print(result.folder)


@app.command("features")
def features_command(
    data: Annotated[str, typer.Option(help="Dataset folder, or user/name on the Hub.")],
    encoder: Annotated[
        str, typer.Option(help="user/name, a folder, package:efficientnet_lite0 or random:tiny-vit.")
    ],
    tasks: Annotated[str, typer.Option(help="Tasks, e.g. sa,cc; default: all.")] = "all",
    splits: Annotated[str, typer.Option(help="Splits, separated by commas; default: all.")] = "",
    pool: Annotated[
        int, typer.Option(help="Average the patches to a grid of this side; 0: all patches.")
    ] = 7,
    layer: Annotated[int | None, typer.Option(help="An earlier layer of the encoder, e.g. -2.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 32,
) -> None:
    """Compute the features of a dataset's images into the cache that all runs share.

    Training and evaluation do this by themselves on first use; what is there is not computed again.

    Example:

      caslie_model features --data my-dataset --encoder google/siglip2-base-patch16-224
    """
    from caslie_model.config.common import full_task_names
    from caslie_model.errors import ConfigError
    from caslie_model.vision import features
    from mmecinstruct.schemas.samples import SPLITS

    _quiet_libraries()
    try:
        wanted = full_task_names(_names(tasks))
    except ValueError as error:
        raise ConfigError(f"--tasks: {error}") from error
    with _saying_what_is_kept("what was computed is kept, and the same command goes on"):
        cache, counts = features(
            data,
            encoder,
            wanted,
            _names(splits) or SPLITS,
            batch_size=batch_size,
            pool=pool,
            layer=layer,
        )
    print(cache.folder)
    print(
        f"{counts.images} images in {counts.samples} samples, {counts.distinct} of them different; "
        f"{counts.computed} computed in {counts.seconds:.0f} s",
        file=sys.stderr,
    )


@app.command("merge")
def merge_command(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A finished adapter folder.")],
    out: Annotated[Path, typer.Option(help="Model folder to write; new or empty.")],
    full_base: Annotated[
        bool, typer.Option("--full-base", help="Also one that was trained on a quantised base model.")
    ] = False,
) -> None:
    """Write a base model and its adapter as one model folder, and check that it gives the same logits.

    Example:

      caslie_model merge my-adapter --out my-model
    """
    from caslie_model.adapters.merge import merge

    _quiet_libraries()
    result = merge(adapter, out, full_base)
    print(result.folder)
    print(f"logits differ by at most {result.deviation:.1e} of their spread", file=sys.stderr)


@app.command("push")
def push_command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A finished adapter folder, or a merged one.")
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="The model repository, as user/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded and touch nothing.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to; default: main.")] = None,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="For the card, e.g. apache-2.0; default: the one it has on the Hub."),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of `evaluate` whose figures go into the card.")
    ] = None,
) -> None:
    """Publish a model with its card on the Hugging Face Hub: no checkpoints, no paths of this machine.

    The token is taken from HF_TOKEN or from `hf auth login`. What the Hub has already is not sent again.

    Examples:

      caslie_model push my-adapter user/my-adapter --license apache-2.0 --evaluation results

      caslie_model evaluate --model user/my-adapter --data my-dataset --out results-again
    """
    from caslie_model.publishing.push_folder import push_model

    pushed = push_model(
        model,
        repo,
        private=private,
        dry_run=dry_run,
        revision=revision,
        message=message,
        license=license_id,
        evaluation=evaluation,
    )
    for note in pushed.notes:
        print(f"note: {note}", file=sys.stderr)
    print(pushed.result)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[
        str,
        typer.Option(
            help="Adapter folder, or user/name of one; with --base-only also a preset or base model."
        ),
    ],
    data: Annotated[str, typer.Option(help="Dataset folder, or user/name on the Hub.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions and metrics.")],
    splits: Annotated[str, typer.Option(help="Splits, separated by commas.")] = "test,test_ood",
    tasks: Annotated[str, typer.Option(help="Tasks, e.g. sa,cc; default: all.")] = "all",
    base_only: Annotated[bool, typer.Option("--base-only", help="The model without its adapter.")] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most so many samples per task and split, drawn by hash.")
    ] = None,
    subset: Annotated[
        str, typer.Option(help="all | visual-critical (needs the image) | text (does not).")
    ] = "all",
    scoring: Annotated[
        str, typer.Option(help="generate | likelihood (of each allowed answer).")
    ] = "generate",
    batch_size: Annotated[int, typer.Option(help="Samples at once; changes no answer.")] = 8,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override another setting. Repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Forget earlier predictions.")] = False,
) -> None:
    """Answer test samples, and report metrics per task and split beside the majority baseline.

    A run that was stopped goes on when it is started again.

    Examples:

      caslie_model evaluate --model my-adapter --data my-dataset --out results

      caslie_model evaluate --model my-adapter --data my-dataset --out results-ap --tasks ap --limit 50
      --scoring likelihood --set instruction=unseen

      caslie_model evaluate --model smollm2-135m --base-only --data my-dataset --out zero-shot
    """
    from caslie_model.config.presets import evaluate_config
    from caslie_model.evaluation.evaluate import METRICS_TEXT, evaluate
    from caslie_model.evaluation.tables import print_metrics

    config = evaluate_config(
        settings or (),
        model=model,
        data=data,
        out=out,
        splits=_names(splits),
        tasks=_names(tasks),
        base_only=base_only,
        limit=limit,
        subset=subset,
        scoring=scoring,
        batch_size=batch_size,
    )
    _quiet_libraries()
    with _saying_what_is_kept("what was answered is kept, and the same command goes on"):
        result = evaluate(config, overwrite=overwrite)
    print_metrics(result.metrics)
    print(f"written: {result.folder / METRICS_TEXT}", file=sys.stderr)


def _estimated(config: Any, dry_run: bool, plan: bool, as_json: bool) -> bool:
    """Print the estimate where one is asked for; return whether it was. plan: the option's old name was given."""
    from caslie_model.errors import ConfigError

    if plan:
        print("--plan is now called --dry-run", file=sys.stderr)
    if not (dry_run or plan):
        if as_json:
            raise ConfigError("--json is for --dry-run")
        return False
    from caslie_model.training.estimate import estimate, estimate_json, estimate_table

    found = estimate(config)
    print(estimate_json(found) if as_json else estimate_table(found))
    return True


def _names(text: str) -> tuple[str, ...]:
    """Return the different names of a list that is separated by commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


@contextmanager
def _saying_what_is_kept(message: str) -> Iterator[None]:
    """Tell on Ctrl-C, which ends the command with exit status 130, that the work so far is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; {message}", file=sys.stderr)
        raise


def _quiet_libraries() -> None:
    """Keep notices for developers, and bars in log files, away from the user.

    By environment, so that a wrong setting is found before the libraries are loaded.
    """
    import logging
    import os
    import warnings

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def main() -> None:
    """Run the command line; a known error is a message and exit status 1."""
    from caslie_model.runtime.processes import end_process

    try:
        app()  # ends with SystemExit, whatever comes
    except MmecError as error:
        print(f"error: {error}", file=sys.stderr)
        end_process(1)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        end_process(end.code)
