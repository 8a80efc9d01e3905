"""The options of `caslie_model predict --table`, and what it does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from caslie_model import api_evaluation
from caslie_model.cli.ask import split_options
from caslie_model.errors import ConfigError
from mmecinstruct.core.console import say, show, tell_what_is_kept

Table = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Instead of a dataset: a shop's table, a product in each row (CSV, TSV, JSON lines, Parquet); --out is "
        "then the table of answers.",
    ),
]
Mapped = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --table: a recipe, or its `products:` block, that names the columns. Default: id, title, images.",
    ),
]
OptionsColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="With --table: column of the options of each row.")
]
QueryColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="With --table: column of customers' searches (psi, mpc).")
]
QuestionColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="With --table: column of customers' questions (ap).")
]
ReviewColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="With --table: column of reviews (sa), or of snippets (ap)."),
]
NoImages = Annotated[bool, typer.Option("--no-images", help="With --table: show no images.")]
Contact = Annotated[
    str | None,
    typer.Option(
        help="With --table: fetch images of web addresses; a page or e-mail address that the requests carry."
    ),
]
OptionalTask = Annotated[
    str | None, typer.Option(help="With --table: the task, by full or short name, e.g. cc.")
]
# Options of asking that a table can do without, or has a default of its own for.
OPTIONAL = {
    "data": Annotated[
        str | None,
        typer.Option(
            help="Dataset folder, or user/name on the Hub; with --table the one whose training split has the options."
        ),
    ],
    "scoring": Annotated[
        Literal["generate", "likelihood"] | None,
        typer.Option(
            help="Generate the answer, or take the likeliest allowed one. Default: generate; likelihood with --table."
        ),
    ],
}
_OF_DATASETS = ("limit", "shots", "permute_options", "write_batch", "read_batch")
_LEFT_OUT = frozenset({"splits", "tasks", "subset", *_OF_DATASETS})


def answer_table(
    table: Path,
    fields: Mapping[str, Any],
    override: Sequence[str],
    *,
    task: str | None,
    options: list[str] | None,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Answer every row of a table, and print what became of the rows.

    Args:
        table: The table.
        fields: Options of asking.
        override: Settings as text.
        task: The task.
        options: The options as they were given.
        overwrite: Whether to replace what an earlier run left.
        as_json: Whether to print JSON.
        **settings: The other arguments of `predict_table`.
    """
    if task is None:
        raise ConfigError("--table: say what is asked about each row, e.g. --task cc")
    for name in _OF_DATASETS:
        if fields[name]:
            raise ConfigError(f"--{name.replace('_', '-')} goes with a dataset, not with --table")
    asking = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    with tell_what_is_kept("what was answered is kept, and the same command goes on"):
        result = api_evaluation.predict_table(
            asking.pop("model"),
            table,
            asking.pop("out"),
            task=task,
            options=split_options(options),
            overwrite=overwrite,
            overrides=override,
            **settings,
            **asking,
        )
    if as_json:
        show(result.to_json())
    for reason, count in result.reasons.items():
        say(f"{count} {'row' if count == 1 else 'rows'}: {reason}")
    images = f", {result.with_images} with an image" if result.with_images else ""
    say(f"written: {result.path}, {result.answered} of {result.rows} rows answered{images}")
