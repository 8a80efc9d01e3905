"""Messages from the threads of a run to the thread that writes the ledger."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Mailbox(Generic[Message]):
    """A queue whose first message stays in it until it has been handled.

    Ctrl-C may come between any two steps of the main thread. A message already taken from an ordinary queue would be
    lost, and with it the row of an image that has arrived.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._come = threading.Event()

    def put(self, message: Message) -> None:
        """Add a message. Thread-safe."""
        self._messages.append(message)
        self._come.set()

    def first(self, timeout: float) -> Message | None:
        """Return the oldest message, or None after `timeout` seconds. Only one thread may read."""
        if not self._messages:
            self._come.clear()
            if not self._messages:  # no message came before `clear`
                self._come.wait(timeout)
        return self._messages[0] if self._messages else None

    def drop_first(self) -> None:
        """Remove the message that `first` returned."""
        self._messages.popleft()
