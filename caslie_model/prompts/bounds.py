"""Templates of models and adapters, which others wrote: rendered in a sandbox, and within bounds.

Bounded are the length of a text, the size of what `+`, `*`, `**` and `%` make, and the processor time of one rendering.
The time is measured by an interval timer of the process, whose signal reaches the main thread alone: in another thread
a template that loops without writing is not stopped.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from caslie_model.errors import ModelError

MAX_CHARACTERS = 10_000_000
MAX_SECONDS = 3.0
_MAX_BITS = 10_000
# A width of five digits or more, or one from the arguments.
_WIDE = re.compile(r"%[^%a-zA-Z]*(?:[0-9]{5}|\*)")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose operators make nothing large."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes; raise SecurityError where that would be large."""
        if _size(operator, left, right) > 1:
            raise SecurityError(f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)


def _size(operator: str, left: Any, right: Any) -> float:
    """Return the size of a result as a share of what is allowed."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        return {"**": bits * max(right, 0), "*": bits + right.bit_length()}.get(operator, 0) / _MAX_BITS
    if operator == "%":
        return 2 if isinstance(left, str) and _WIDE.search(left) else 0
    sizes = [len(value) if hasattr(value, "__len__") else value for value in (left, right)]
    if not all(isinstance(size, int) for size in sizes):
        return 0
    made: int = sizes[0] + sizes[1] if operator == "+" else sizes[0] * sizes[1]
    return made / MAX_CHARACTERS


@contextmanager
def within_bounds(what: str) -> Iterator[None]:
    """Run the code of a template; whatever fails there is the template's error.

    Args:
        what: The template, for the error.

    Raises:
        ModelError: If it fails, or takes too long.
    """
    try:
        with _time_limit():
            yield
    except TemplateError as error:
        raise ModelError(f"{what} cannot be filled: {error}") from error
    except Exception as error:
        raise ModelError(f"{what} cannot be filled: {type(error).__name__}: {error}") from error


def bounded_render(template: Template, variables: Mapping[str, Any], what: str) -> str:
    """Return the rendered text of a template.

    Args:
        template: One of a `BoundedEnvironment`.
        variables: Its variables.
        what: The template, for the error.

    Returns:
        The text.

    Raises:
        ModelError: If it fails, takes too long or writes too much.
    """
    parts, length = [], 0
    with within_bounds(what):
        for part in template.generate(variables):
            parts.append(part)
            length += len(part)
            if length > MAX_CHARACTERS:
                raise SecurityError(f"it writes more than {MAX_CHARACTERS:,} characters")
    return "".join(parts)


@contextmanager
def _time_limit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, _too_long)
    timer = signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, *timer)
        signal.signal(signal.SIGPROF, before)


def _too_long(number: int, frame: Any) -> NoReturn:
    raise SecurityError(f"it takes longer than {MAX_SECONDS:g} s")
