"""Options that several commands of `caslie_model` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct.core.package_data import caption_preset_files, pipelines_folder


def _presets() -> list[str]:
    return sorted(path.stem for path in (pipelines_folder() / "training").glob("*.yaml"))


def _caption_presets() -> list[str]:
    return [path.stem for path in caption_preset_files()]


Data = Annotated[str, typer.Option(help="Dataset folder, or user/name on the Hub.")]
Preset = Annotated[
    str, typer.Option(help=f"{', '.join(_presets())}, or a YAML file.", autocompletion=_presets)
]
CaptionPreset = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(_caption_presets())}, or a YAML file; given options override it.",
        autocompletion=_caption_presets,
    ),
]
AdapterOut = Annotated[Path, typer.Option(help="Adapter folder to write.")]
Base = Annotated[
    str | None,
    typer.Option(
        help="Where the adapter's base model is now; it must be the same one. Default: as in training."
    ),
]
Tasks = Annotated[str, typer.Option(help="`all`, or names or short names separated by commas, e.g. sa,cc.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a setting, e.g. lr=1e-4; repeatable."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print tokens, parameters, FLOPs, memory and time of the run; train nothing."
    ),
]
OldDryRun = Annotated[bool, typer.Option("--plan", hidden=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlanAsJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run left.")]
Captions = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[/JUDGE]",
        help="Captions that prompts show: NAME for all of that name, NAME/JUDGE for those that a judge keeps.",
    ),
]
Budget = Annotated[
    float | None, typer.Option(help="Money that a server may cost at most, in the currency of its prices.")
]
WriteBatch = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write an OpenAI batch file, and ask nothing.")
]
ReadBatch = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Read the answers of an OpenAI batch; repeatable."),
]
