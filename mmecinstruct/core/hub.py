"""Reading from the Hugging Face Hub without waiting for one that does not answer.

The Hub's clients try again for half a minute a file, although everything may be in this machine's cache, or the name
may be misspelt.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from mmecinstruct.core.console import say

# Seconds; HF_HUB_ETAG_TIMEOUT, the clients' own setting, is for slower networks.
_PATIENCE = 3.0
_NO_HUB_BEHIND_IT = (502, 503, 504)


@contextmanager
def reading_from_hub(name: str | Path) -> Iterator[None]:
    """Read this machine's cache alone where the Hub does not answer; it is asked once in a process.

    Args:
        name: user/name, or a path, for which nothing is asked.

    Yields:
        Nothing.
    """
    if Path(name).exists():
        yield
        return
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or _answers(constants.ENDPOINT):
        yield
        return
    # `datasets` keeps a copy of the switch.
    switches: list[Any] = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    for module in switches:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module in switches:
            module.HF_HUB_OFFLINE = False


@cache
def _answers(endpoint: str) -> bool:
    patience = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or _PATIENCE)
    heard = threading.Event()
    # In a thread: looking up a name takes no time limit.
    asking = threading.Thread(target=_ask, args=(endpoint, patience, heard), daemon=True)
    asking.start()
    asking.join(patience)
    if not heard.is_set():
        # Its address may hold a password.
        say("the Hugging Face Hub does not answer: only what is in this machine's cache is read")
    return heard.is_set()


def _ask(endpoint: str, patience: float, heard: threading.Event) -> None:
    import httpx2
    from huggingface_hub import get_session

    try:
        status = get_session().head(endpoint, timeout=patience).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
        return
    if status not in _NO_HUB_BEHIND_IT:
        heard.set()
