"""What the threads of a run tell the one that writes the ledger."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Mailbox(Generic[Message]):
    """A queue whose first message stays in it until it has been dealt with.

    Ctrl-C may come between any two steps of the main thread: a message that a queue had already given away would be
    lost, and with it the row of an image that has arrived.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._come = threading.Event()

    def put(self, message: Message) -> None:
        """Leave a message. Safe in many threads."""
        self._messages.append(message)
        self._come.set()

    def first(self, timeout: float) -> Message | None:
        """Return the oldest message, waiting so many seconds for one. Only one thread may read."""
        if not self._messages:
            self._come.clear()
            if not self._messages:  # none came before the clearing either
                self._come.wait(timeout)
        return self._messages[0] if self._messages else None

    def drop_first(self) -> None:
        """Let go of the message that `first` returned: it has been dealt with."""
        self._messages.popleft()
