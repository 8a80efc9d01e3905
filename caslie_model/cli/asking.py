"""The options that say what a model is asked, written once for all commands that ask one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from caslie_model.cli.options import Base, Budget, Data, Override, ReadBatch, Tasks, WriteBatch
from mmecinstruct.core.console import comma_list


def asking_fields(
    model: Annotated[
        str,
        typer.Option(
            help="Adapter or merged model, preset, language or image-text model: a folder, or user/name on the Hub; "
            "openai:NAME at a server."
        ),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for predictions, and metrics.")],
    splits: Annotated[str, typer.Option(help="Splits, separated by commas.")] = "test,test_ood",
    tasks: Tasks = "all",
    base: Base = None,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="An adapter's base model, without the adapter.")
    ] = False,
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[/JUDGE]", help="Captions that prompts show, or none. Default: as in training."
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Server of the model, e.g. http://127.0.0.1:8000/v1.")
    ] = None,
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
    shots: Annotated[
        int, typer.Option(help="Training samples shown with their answers before each question.")
    ] = 0,
    permute_options: Annotated[
        int, typer.Option(help="Ask again with the options in so many other orders.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(help="Samples at once; changes no answer.")] = 8,
    budget: Budget = None,
    write_batch: WriteBatch = None,
    read_batch: ReadBatch = None,
) -> dict[str, Any]:
    """Return the fields of a `PredictConfig` that the options set."""
    return {
        **locals(),
        "splits": comma_list(splits),
        "tasks": comma_list(tasks),
        "read_batch": read_batch or (),
    }


def with_asking_options(
    command: Callable[..., None], optional: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """Give a command the options of asking; it gets their values as `fields`, and `override`, before its own.

    Args:
        command: Takes `fields` and `override` first, then options of its own.
        optional: Annotations of options of asking that the command can do without; where they are not given, `fields`
            lacks them.

    Returns:
        The command with all options in its signature, as Typer reads it.
    """
    shared = dict(inspect.signature(asking_fields).parameters)
    override = inspect.Parameter("override", inspect.Parameter.KEYWORD_ONLY, default=None)
    own = dict(list(inspect.signature(command).parameters.items())[2:])
    types = {
        **get_type_hints(command, include_extras=True),
        **get_type_hints(asking_fields, include_extras=True),
        "override": Override,
    }

    types |= optional or {}
    for name in optional or ():
        shared[name] = shared[name].replace(default=None)

    def run(**given: Any) -> None:
        fields = asking_fields(**{name: given.pop(name) for name in shared})
        for name in optional or ():
            if fields[name] is None:
                del fields[name]
        command(fields, given.pop("override") or (), **given)

    parameters = {**shared, "override": override, **own}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {name: types[name] for name in parameters}
    run.__dict__["__signature__"] = inspect.Signature(
        [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=types[name])
            for name, each in parameters.items()
        ]
    )
    return run
