"""A chat template: how it writes the user's turn, and the token by which it closes a turn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import SecurityError
from jinja2.utils import Namespace

from caslie_model.errors import ModelError
from caslie_model.prompts.bounds import BoundedEnvironment, bounded_render, within_bounds

# Some chat templates write today's date or open a thinking block: both must not vary.
_TODAY = date(2024, 7, 26)
_SETTINGS = {"date_string": f"{_TODAY:%d %b %Y}", "enable_thinking": False}
# Of letters that no template writes.
_QUESTION, _ANSWER = "XZJ", "QZX"


def user_turn(tokenizer: Any, text: str, earlier: Sequence[tuple[str, str]] = ()) -> str:
    """Return a conversation up to the place where the assistant answers.

    Args:
        tokenizer: One with a chat template.
        text: What the user says.
        earlier: Earlier turns: what the user said, and what the assistant answered.

    Returns:
        The text that the model continues.

    Raises:
        ModelError: If the template cannot be filled.
    """
    turns = [
        {"role": role, "content": said}
        for turn in earlier
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    return rendered_turns(tokenizer, [*turns, {"role": "user", "content": text}], True)


def end_token(tokenizer: Any, template: str | None = None) -> int:
    """Return the token that ends an answer: the one by which the chat template closes a turn.

    It is found by rendering an answer, and differs from the end-of-sequence token in Gemma's form. Where the template
    does not write the answer as it is, or closes a turn with no control token, or there is no template, the
    end-of-sequence token ends an answer.

    Args:
        tokenizer: A tokenizer with an end-of-sequence token.
        template: The template of a processor, which takes what is said as parts; None: the tokenizer's own.

    Returns:
        Id of the token.
    """
    end: int = tokenizer.eos_token_id
    if not (template or tokenizer.chat_template):
        return end
    said = {"user": _QUESTION, "assistant": _ANSWER}
    turns: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": text}] if template else text}
        for role, text in said.items()
    ]
    try:
        _, found, after = rendered_turns(tokenizer, turns, False, template).rpartition(_ANSWER)
    except ModelError:  # one that knows no answers
        return end
    if not found or _QUESTION in after:  # one that leaves out or moves what the assistant says
        return end
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in tokenizer.added_tokens_decoder:
            return int(token)
        if tokenizer.decode([token]).strip():
            break
    return end


def rendered_turns(
    tokenizer: Any, turns: Sequence[Mapping[str, Any]], answers_next: bool, template: str | None = None
) -> str:
    """Render a chat template as `apply_chat_template` does, which knows no bounds.

    Args:
        tokenizer: Its special tokens are variables of the template.
        turns: `role` and `content` of each turn; the content is a text, or parts for the template of a processor.
        answers_next: Whether the text ends where the assistant answers.
        template: The template of a processor; None: the tokenizer's own.

    Returns:
        The text.

    Raises:
        ModelError: If the template cannot be filled.
    """
    what = "the processor's chat template" if template else "the tokenizer's chat template"
    with within_bounds(what):
        compiled = _compiled(template or tokenizer.get_chat_template())
    variables = {
        **tokenizer.special_tokens_map,
        **_SETTINGS,
        "messages": turns,
        "tools": None,
        "documents": None,
        "add_generation_prompt": answers_next,
    }
    return bounded_render(compiled, variables, what)


@lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    made = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda form: _TODAY.strftime(form),
        "dict": lambda *args, **values: dict(*args, **values),
        "namespace": _PlainNamespace,
    }
    return made.from_string(source)


class _Generation(Extension):
    """`{% generation %}` marks what the assistant says, and writes it."""

    tags = {"generation"}  # noqa: RUF012 (declared so by Jinja)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _PlainNamespace(Namespace):
    """A namespace without names that Python itself uses."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise SecurityError(f"a namespace takes no name {name!r}")
        super().__setitem__(name, value)


def _to_json(value: Any, ensure_ascii: bool = False, indent: Any = None, **settings: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **settings)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
