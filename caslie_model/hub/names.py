"""Names of repositories on the Hub."""

from __future__ import annotations

import re

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


def is_hub_name(name: str) -> bool:
    """Return whether a name has the form of a repository on the Hub, user/name.

    Args:
        name: Any text.

    Returns:
        Whether it has that form; such a repository may not exist.
    """
    return _HUB_NAME.match(name) is not None
