"""Ask a server many things at a time, from an event loop in a thread of its own, and yield answers as they come."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from caslie_model.data.image_bytes import ImageBytes
from caslie_model.errors import RunError
from caslie_model.inference.prices import Spending
from caslie_model.inference.server_client import (
    ChatClient,
    ChatFailure,
    EncodedRequest,
    OutOfBudgetError,
    StopAskingError,
    open_session,
)
from caslie_model.inference.server_messages import ChatRequest
from caslie_model.inference.server_replies import ChatReply
from caslie_model.inference.server_settings import ServerSettings
from mmecinstruct.core.errors import MmecError

Key = TypeVar("Key")

# Requests without an answer one after another, all retries included, after which the server is taken to be down.
MAX_FAILED = 10
# The same for requests that the server refuses at once: the longest are asked first, and may all be too long.
MAX_REFUSED = 100
_ENCODED_AT_ONCE = 4


def ask_all(
    settings: ServerSettings,
    images: ImageBytes,
    spending: Spending,
    key: str | None,
    requests: Iterable[tuple[Key, ChatRequest]],
) -> Iterator[list[tuple[Key, ChatReply | ChatFailure]]]:
    """Ask a server, and yield answers in the order in which they come, those together that are there.

    A slow request keeps no other waiting. At most twice as many requests as `concurrency` are begun and not yet taken.
    When the iterator is closed, also by Ctrl-C, requests in flight are given up.

    Args:
        settings: Server, model and limits.
        images: The bytes of images.
        spending: Counts the money.
        key: The server's key.
        requests: What is asked, each with anything that tells it from the others.

    Yields:
        Answers and failures, each with what came with its request.

    Raises:
        RunError: If the server answers nothing more, or the budget is spent; after all answers that came.
        DatasetError: If an image is damaged.
    """
    asking = _Asking(settings, images, spending, key, requests)
    # A process that takes no more answers and holds the iterator can end all the same.
    thread = threading.Thread(target=asking.run, name="server", daemon=True)
    thread.start()
    try:
        yield from _taken(asking)
    finally:
        asking.cancel()
        if not sys.is_finalizing():
            thread.join()


def _taken(asking: _Asking[Key]) -> Iterator[list[tuple[Key, ChatReply | ChatFailure]]]:
    is_done = False
    while not is_done:
        group = [asking.answers.get()]
        while not asking.answers.empty():
            group.append(asking.answers.get())
        is_done = group[-1] is None
        answers = [each for each in group if each is not None]
        asking.took(len(answers))
        if answers:
            yield answers
    match asking.error:
        case None:
            pass
        case StopAskingError():
            raise RunError(str(asking.error))
        case OutOfBudgetError():
            spending, budget = asking.spending, asking.settings.budget
            raise RunError(
                f"the budget of {budget:g} is spent: {spending.spent:.4f} so far, and the next request might cost "
                "more than is left; answers are kept: run the same again with a larger budget to go on"
            )
        case error:
            raise error


class _Asking(Generic[Key]):
    """The workers of one run, as many as there are requests at a time."""

    def __init__(
        self,
        settings: ServerSettings,
        images: ImageBytes,
        spending: Spending,
        key: str | None,
        requests: Iterable[tuple[Key, ChatRequest]],
    ) -> None:
        self.settings, self.spending = settings, spending
        self.answers: queue.SimpleQueue[tuple[Key, ChatReply | ChatFailure] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._images, self._key = images, key
        self._requests = iter(requests)
        self._room = asyncio.Semaphore(2 * settings.concurrency)
        self._ready: asyncio.Queue[tuple[Key, ChatRequest, asyncio.Task[EncodedRequest]] | None] = (
            asyncio.Queue()
        )
        self._encoding: set[asyncio.Task[EncodedRequest]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._is_out_of_budget = False
        self._failed = self._refused = 0

    def run(self) -> None:
        """Ask everything, in an event loop of this thread; what goes wrong is kept for the one that takes answers."""
        try:
            asyncio.run(self._main())
        except (StopAskingError, OutOfBudgetError, MmecError, asyncio.CancelledError) as error:
            self.error = error
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.answers.put(None)

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._is_cancelled:
            return
        async with open_session(self.settings, self._key) as session:
            client = ChatClient(self.settings, self._images, self.spending, self._key, session)
            tasks = [asyncio.create_task(self._work(client)) for _ in range(self.settings.concurrency)]
            tasks.append(asyncio.create_task(self._encode(client)))
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in (*tasks, *self._encoding):
                    task.cancel()
                await asyncio.gather(*tasks, *self._encoding, return_exceptions=True)
        if self._is_out_of_budget:
            raise OutOfBudgetError

    def took(self, count: int) -> None:
        """Make room for as many requests."""
        for _ in range(count):
            self._call(self._room.release)

    def cancel(self) -> None:
        """Give up what is in flight."""
        self._is_cancelled = True
        self._call(lambda: self._task.cancel() if self._task is not None else None)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(function)

    async def _encode(self, client: ChatClient) -> None:
        """Encode requests ahead: no answer waits for an image of the next one."""
        # More at a time than a processor's cores would only wait for one another.
        at_once = asyncio.Semaphore(_ENCODED_AT_ONCE)

        async def encoded(request: ChatRequest) -> EncodedRequest:
            async with at_once:
                return await client.encoded(request)

        while not self._is_out_of_budget:
            await self._room.acquire()
            item = None if self._is_out_of_budget else next(self._requests, None)
            if item is None:
                break
            key, request = item
            task = asyncio.create_task(encoded(request))
            self._encoding.add(task)
            await self._ready.put((key, request, task))
        for _ in range(self.settings.concurrency):
            await self._ready.put(None)

    async def _work(self, client: ChatClient) -> None:
        while not self._is_out_of_budget:
            item = await self._ready.get()
            if item is None:
                return
            key, request, encoding = item
            content = await encoding
            self._encoding.discard(encoding)
            try:
                outcome = await client.complete(request, content)
            except OutOfBudgetError:
                self._is_out_of_budget = True
                self._room.release()  # nobody takes an answer to it
                return
            self.answers.put((key, outcome))
            self._count(client, outcome)

    def _count(self, client: ChatClient, outcome: ChatReply | ChatFailure) -> None:
        if isinstance(outcome, ChatReply):
            self._failed = self._refused = 0
        elif outcome.is_refused:
            self._refused += 1
        else:
            self._failed += 1
        if self._failed >= MAX_FAILED or self._refused >= MAX_REFUSED:
            assert isinstance(outcome, ChatFailure)
            raise StopAskingError(
                f"{client.host}, model {self.settings.model}: {max(self._failed, self._refused)} requests one after "
                f"another got no answer, the last one: {outcome.detail}; is the server well? Answers are kept: run the "
                "same again to go on"
            )
