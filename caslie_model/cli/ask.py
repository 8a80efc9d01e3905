"""The command that asks about one product: `caslie_model ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caslie_model import api_evaluation
from caslie_model.cli.options import AsJson, Base, Override
from mmecinstruct.core.commands import Panel
from mmecinstruct.core.console import quiet_libraries, say, show

if TYPE_CHECKING:
    from caslie_model.inference.rounds import Answer

panel = Panel("Ask")

# Between several options in one value.
SEPARATOR = "|"
# Scored answers that are shown.
_SHOWN = 10

Task = Annotated[str, typer.Option(help="The task, by full or short name, e.g. cc.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORDS",
        help=f"An option of the answer; repeatable, several separated by {SEPARATOR}. Default: those of the task, for "
        "cc those of the training.",
    ),
]
OptionsData = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Dataset whose training split has the options. Default: the one of the model's training.",
    ),
]


def split_options(given: list[str] | None) -> list[str]:
    """Return options that are separated within values."""
    return [option for text in given or () for option in text.split(SEPARATOR)]


@panel.command(
    "ask",
    'caslie_model ask --model my-adapter --task cc --title "Steel kettle, 1.7 l" --image kettle.jpg',
    'caslie_model ask --model my-adapter --task cc --title "Steel kettle" --options "Kettles|Mugs|Teapots" --json',
    'caslie_model ask --model my-adapter --task sa --review "It leaks."',
    'caslie_model ask --model my-adapter --task ap --question "Is it heavy?" --review "Light." --review "Nice lid."',
    'caslie_model ask --model my-adapter --task psi --query "red kettle" --title "Steel kettle, red"',
    'caslie_model ask --model my-adapter --task prp --title Kettle --title Teapot --image "product 2=teapot.jpg"',
    'caslie_model ask --model my-adapter --task sr --history Kettle --history Teapot --options "Mug|Rug"',
)
def ask(
    model: Annotated[str, typer.Option(help="Adapter folder, or user/name of one, or a base model.")],
    task: Task,
    title: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Title of the product; prp: of both, in two options."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="A customer's search (psi, mpc).")] = None,
    question: Annotated[str | None, typer.Option(help="A customer's question (ap).")] = None,
    review: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A review (sa), or a snippet to answer from (ap; repeatable)."),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Title of a product that was bought, the oldest first; repeatable (sr)."
        ),
    ] = None,
    options: Options = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]FILE",
            help="Image of the product; repeatable, in the order of the texts, or e.g. `option B=b.jpg`.",
        ),
    ] = None,
    data: OptionsData = None,
    base: Base = None,
    base_only: Annotated[bool, typer.Option("--base-only", help="The model without its adapter.")] = False,
    scoring: Annotated[
        Literal["likelihood", "generate"],
        typer.Option(help="Take the likeliest allowed answer, or let the model write one."),
    ] = "likelihood",
    override: Override = None,
    as_json: AsJson = False,
) -> None:
    """Answer one question about one product, with your own texts and images."""
    quiet_libraries()
    settings: dict[str, Any] = {"base": base, "base_only": base_only, "scoring": scoring}
    answer = api_evaluation.ask(
        model,
        task,
        title=title or (),
        query=query or (),
        question=question or (),
        review=review or (),
        history=history or (),
        options=split_options(options),
        images=image or (),
        data=data,
        overrides=override or (),
        **settings,
    )
    if as_json:
        show(answer.to_json())
    elif answer.answer is not None:
        print_answer(answer)
    if answer.answer is None:
        say(f"no answer: {answer.reason}")
        raise typer.Exit(1)


def print_answer(answer: Answer) -> None:
    """Print an answer, below it the allowed ones in the order of their likelihood."""
    label = f"{answer.label}: " if answer.options else ""
    share = "" if answer.probability is None else f" ({answer.probability:.1%})"
    show(f"{label}{answer.answer}{share}")
    known = [(score, words) for words, score in (answer.scores or {}).items() if score is not None]
    for score, words in sorted(known, reverse=True)[:_SHOWN]:
        show(f"{score:10.2f}  {words}")
    if len(known) > _SHOWN:
        show(f"{'':10}  and {len(known) - _SHOWN} more; --json has all")
