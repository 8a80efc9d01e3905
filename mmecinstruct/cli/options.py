"""Options that several commands of `mmec` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmecinstruct.core.package_data import recipe_files

DEFAULT_WORKSPACE = Path(".mmec")


def _recipe_names() -> list[str]:
    return [path.stem for path in recipe_files()]


RecipeName = Annotated[
    str,
    typer.Option(
        help="A built-in recipe's name (see `mmec recipes`) or a YAML file.", autocompletion=_recipe_names
    ),
]
OtherRecipe = Annotated[
    str | None,
    typer.Option(help="A recipe whose settings replace the default ones.", autocompletion=_recipe_names),
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the recipe; repeatable."),
]
Workspace = Annotated[
    Path, typer.Option(help="Where finished stages are kept between builds.", envvar="MMEC_WORKSPACE")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes; default: one per core. Changes no result.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Ask again for images that failed for a reason that passes.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlanAsJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")]
DatasetFolder = Annotated[Path, typer.Argument(help="A dataset folder.")]
