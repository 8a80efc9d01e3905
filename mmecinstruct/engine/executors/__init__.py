"""Run a function over payloads: in this process, in a pool of processes, or on a Ray cluster.

The contract is small so that each can keep it: a module-level function, picklable payloads (paths and settings, never
pixels), results in any order. The written files do not depend on the executor, the machine or the number of attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from mmecinstruct.engine.executors.local import LocalExecutor
from mmecinstruct.engine.executors.ray import RayExecutor

__all__ = ["Executor", "LocalExecutor", "RayExecutor"]

Payload = TypeVar("Payload")
Result = TypeVar("Result")


class Executor(Protocol):
    """The interface of executors: a context that frees its workers at the end, and `run`."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, function: Callable[[Payload], Result], payloads: Sequence[Payload]) -> Iterator[Result]:
        """Yield `function(payload)` of every payload, in the order in which they finish.

        Raises whatever the function raises, and starts no further payload then; WorkspaceError when a worker was lost.
        """
        ...
