"""Run a function over payloads on this machine: in this process, or in a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from types import TracebackType
from typing import TypeVar

from mmecinstruct.core.errors import WorkspaceError

Payload = TypeVar("Payload")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """A pool of `workers` processes, started when first needed; with one worker everything runs here."""

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._pipe: tuple[Connection, Connection] | None = None  # closed at this end, it stops the workers

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            assert self._pipe is not None
            if kind is not None:
                # Nobody waits for the running work items.
                self._pipe[1].close()
            # No worker outlives this, so that the next build may have the workspace.
            self._pool.shutdown(wait=True, cancel_futures=True)
            for end in self._pipe:
                end.close()
            self._pool = self._pipe = None

    def run(self, function: Callable[[Payload], Result], payloads: Sequence[Payload]) -> Iterator[Result]:
        """Yield `function(payload)` of every payload, in the order in which they finish.

        Raises whatever the function raises; WorkspaceError when a worker process was killed.
        """
        if self.workers == 1 or len(payloads) <= 1:
            for payload in payloads:
                yield function(payload)
            return
        if self._pool is None:
            # spawn: a forked copy of a process with threads (Arrow, DuckDB) can deadlock.
            context = multiprocessing.get_context("spawn")
            self._pipe = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=(os.getpid(), self._pipe[0]),
            )
        # No more in flight than the pool can soon use: a failure then stops the rest early.
        waiting = iter(payloads)
        in_flight: set[Future[Result]] = set()
        try:
            for payload in waiting:
                in_flight.add(self._pool.submit(function, payload))
                if len(in_flight) >= 2 * self.workers:
                    finished, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield future.result()
            while in_flight:
                finished, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkspaceError(
                "a worker process was killed (out of memory?); run the same command again, if need be with "
                "fewer --workers: finished work items are kept. A Python script has to call this below "
                'if __name__ == "__main__":, as its worker processes import it'
            ) from error
        finally:
            for future in in_flight:
                future.cancel()


def _start_worker(parent: int, pipe: Connection) -> None:
    """Leave Ctrl-C to the parent, and end when it closes the pipe or is gone, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent and not pipe.poll(0.5):  # a closed pipe can be read, to its end
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
