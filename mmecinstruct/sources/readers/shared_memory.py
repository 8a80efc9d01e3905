"""Share memory among the processes that read large row groups at the same time.

A row group of Parquet may take many times the memory that a worker process is counted with. The processes of a build
therefore take such memory from one stock: units that are locked byte ranges of a file, which the system frees when
their process ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.errors import SourceError
from mmecinstruct.core.quantities import human

# What a process may take without asking: it is counted with it.
FREE_BYTES = 64 * 1000 * 1000
UNIT_BYTES = 20 * 1000 * 1000
_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class MemoryStock:
    """Memory that processes share.

    Attributes:
        path: The file whose byte ranges are locked; it is made where it is missing.
        size: Bytes of the stock.
    """

    path: Path
    size: int


_stock: ContextVar[MemoryStock | None] = ContextVar("memory_stock", default=None)


@contextmanager
def reading_from(stock: MemoryStock | None) -> Iterator[None]:
    """Read within the context with the memory of a stock; with None, nothing is counted."""
    token = _stock.set(stock)
    try:
        yield
    finally:
        _stock.reset(token)


@contextmanager
def taken_memory(needed: int, what: str) -> Iterator[None]:
    """Take memory from the stock while the context lasts; wait until other processes leave enough.

    A process that holds some already shares it with what it reads beside that.

    Args:
        needed: Bytes.
        what: What needs them, for the message.

    Raises:
        SourceError: The whole stock is smaller.
    """
    stock = _stock.get()
    if stock is None or needed <= FREE_BYTES:
        yield
        return
    if needed > stock.size:
        raise SourceError(
            f"{what} may take {human(needed)} of memory to read; resources.memory leaves {human(max(0, stock.size))}. "
            f"Give {human(needed - stock.size)} more (--set resources.memory=...) or fewer --workers, or write "
            "the file with smaller row groups"
        )
    units, wanted = stock.size // UNIT_BYTES, min(-(-needed // UNIT_BYTES), stock.size // UNIT_BYTES)
    descriptor = os.open(stock.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # One process at a time gathers units: two that wait for each other's would wait for ever.
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, units)
        taken: set[int] = set()
        while True:
            for unit in range(units):
                if len(taken) < wanted and unit not in taken and _take(descriptor, unit):
                    taken.add(unit)
            if len(taken) == wanted:
                break
            time.sleep(_WAIT_S)
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, units)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, unit: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, unit)
    except (BlockingIOError, PermissionError):
        return False
    return True
