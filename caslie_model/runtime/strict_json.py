"""JSON from outside: values that Python reads and JSON does not have, such as NaN, are errors."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def strict_json(content: bytes | str) -> Any:
    """Return a JSON value.

    Args:
        content: The text.

    Returns:
        The value.

    Raises:
        ValueError: If it is none, or one that is nested too deeply.
    """
    try:
        return json.loads(content, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
