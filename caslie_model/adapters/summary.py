"""training.json of an adapter folder: what happened in its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caslie_model.config.files import TRAINING
from caslie_model.errors import ModelError

# What is read of it, where it is there. The second fingerprint is that of version 0.1.
_TYPES: dict[str, tuple[type, str]] = {
    "base_model": (str, "text"),
    "base_fingerprint": (str, "text"),
    "base_identity": (str, "text"),
    "folders": (dict, "an object"),
    "log": (list, "a list"),
}


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the content of training.json.

    Args:
        folder: The adapter folder.

    Returns:
        The content; what is read of it has the right types.

    Raises:
        ModelError: If it cannot be read, or is damaged.
    """
    file = folder / TRAINING
    remedy = "train again, or copy it from where the adapter was"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is damaged ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} is damaged (no object); {remedy}")
    for name, (kind, words) in _TYPES.items():
        if content.get(name) is not None and not isinstance(content[name], kind):
            raise ModelError(f"{file} is damaged ({name} is not {words}); {remedy}")
    return content
