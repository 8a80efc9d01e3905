"""Commands that train, or prepare training: `caslie_model finetune`, `align`, `features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from caslie_model import api
from caslie_model.cli.options import (
    AdapterOut,
    Captions,
    Data,
    DryRun,
    OldDryRun,
    Override,
    Overwrite,
    PlanAsJson,
    Preset,
    Resume,
    Tasks,
)
from caslie_model.errors import ConfigError
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, tell_what_is_kept

panel = Panel("Train")

_RESUMES = "--resume goes on from the last checkpoint"


@panel.command(
    "finetune",
    "caslie_model finetune --data my-dataset --out my-adapter",
    "caslie_model finetune --data user/name --out my-adapter --tasks sa,ap --set lr=1e-4 --set answers=letter",
    "caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --lora --tasks cc,psi",
    "caslie_model finetune --data my-dataset --out my-adapter --fusion caption --captions attributes",
    "caslie_model finetune --data my-dataset --out try-out --preset tiny",
    "caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --dry-run",
)
def finetune(
    data: Data,
    out: AdapterOut,
    preset: Preset = "smollm2-135m",
    fusion: Annotated[
        Literal["text", "caption", "xattn", "concat", "concat-full"],
        typer.Option(
            help="How images reach the language model; text: not at all; caption: as --captions, in words."
        ),
    ] = "text",
    captions: Captions = None,
    with_lora: Annotated[
        bool, typer.Option("--lora", help="Train LoRA too; with fusion text it always is.")
    ] = False,
    tasks: Annotated[str, typer.Option(help="Tasks, e.g. sa,cc; default: the preset's, else all.")] = "",
    override: Override = None,
    dry_run: DryRun = False,
    plan: OldDryRun = False,
    as_json: PlanAsJson = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a language model with LoRA or with adapters that read images, and write an adapter folder."""
    from caslie_model.config.presets import finetune_config

    fields: dict[str, Any] = {"data": data, "out": out, "fusion": fusion}
    if tasks:
        fields["tasks"] = comma_list(tasks)
    if with_lora:
        fields["with_lora"] = True
    if captions:
        fields["captions"] = captions
    config = finetune_config(preset, override or (), **fields)
    quiet_libraries()
    if _is_dry_run(config, dry_run, plan, as_json):
        return
    with tell_what_is_kept(_RESUMES):
        result = api.finetune(config, resume=resume, overwrite=overwrite)
    if is_first_process():
        print(result.folder)


@panel.command(
    "align",
    "caslie_model align --data my-dataset --catalogue products.csv --attributes category,colour --out aligned",
    "caslie_model finetune --data my-dataset --out my-adapter --fusion xattn --set init_from=aligned",
)
def align(
    data: Annotated[
        str, typer.Option(help="Dataset folder, or user/name on the Hub; its train images are used.")
    ],
    catalogue: Annotated[Path, typer.Option(help="CSV, JSON lines or Parquet: a product in each row.")],
    attributes: Annotated[
        str, typer.Option(help="Columns that the model learns to name, e.g. category,colour.")
    ],
    out: AdapterOut,
    id_column: Annotated[str, typer.Option(help="Column of the products' ids.")] = "id",
    preset: Preset = "smollm2-135m",
    fusion: Annotated[
        Literal["xattn", "concat", "concat-full"],
        typer.Option(help="How images reach the language model."),
    ] = "xattn",
    override: Override = None,
    dry_run: DryRun = False,
    plan: OldDryRun = False,
    as_json: PlanAsJson = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train adapters to name what images show, before any task; a fine-tuning starts from the result."""
    from caslie_model.config.presets import align_config

    names = comma_list(attributes)
    if not names:
        raise ConfigError("--attributes: name one column of the catalogue or several, e.g. category,colour")
    config = align_config(
        preset,
        override or (),
        data=data,
        catalogue=catalogue,
        attributes=names,
        out=out,
        id_column=id_column,
        fusion=fusion,
    )
    quiet_libraries()
    if _is_dry_run(config, dry_run, plan, as_json):
        return
    with tell_what_is_kept(_RESUMES):
        result = api.align(config, resume=resume, overwrite=overwrite)
    print(result.folder)


@panel.command(
    "features",
    "caslie_model features --data my-dataset --encoder google/siglip2-base-patch16-224",
    "caslie_model features --data my-dataset --encoder package:efficientnet_lite0 --tasks cc --splits train",
)
def features(
    data: Data,
    encoder: Annotated[
        str, typer.Option(help="user/name, a folder, package:efficientnet_lite0 or random:tiny-vit.")
    ],
    tasks: Tasks = "all",
    splits: Annotated[str, typer.Option(help="Splits, separated by commas; default: all.")] = "",
    pool: Annotated[
        int, typer.Option(help="Average the patches to a grid of this side; 0: all patches.")
    ] = 7,
    layer: Annotated[int | None, typer.Option(help="An earlier layer of the encoder, e.g. -2.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 32,
) -> None:
    """Compute the features of a dataset's images into the cache that all runs share.

    Training and evaluation do this by themselves on first use; cached features are not computed again.
    """
    quiet_libraries()
    with tell_what_is_kept("what was computed is kept, and the same command goes on"):
        computed = api.features(
            data, encoder, tasks=tasks, splits=splits or "all", pool=pool, layer=layer, batch_size=batch_size
        )
    print(computed.folder)
    counts = computed.counts
    say(
        f"{counts.images} images in {counts.samples} samples, {counts.distinct} of them different; "
        f"{counts.computed} computed in {counts.seconds:.0f} s"
    )


def _is_dry_run(config: Any, dry_run: bool, plan: bool, as_json: bool) -> bool:
    """Print the estimate where one is asked for; return whether it was. plan: the option's old name was given."""
    if plan:
        say("--plan is now called --dry-run")
    if not (dry_run or plan):
        if as_json:
            raise typer.BadParameter("--json goes with --dry-run")
        return False
    from caslie_model.training.estimate import estimate
    from caslie_model.training.estimate_table import estimate_json, estimate_table

    found = estimate(config)
    print(estimate_json(found) if as_json else estimate_table(found))
    return True
