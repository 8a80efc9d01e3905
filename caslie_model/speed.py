"""How fast this machine is just now: products of matrices, moving of numbers, and the price of a single call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_ROUND = 0.01  # seconds of one measurement
_FEWEST = 3  # measurements


@dataclass(frozen=True)
class Speed:
    """FLOPs and bytes in a second, and seconds of a call; each as the median of several short measurements.

    low, high: how much slower and faster than the median most of these were, as factors of time.
    """

    flops: float
    bytes: float
    call: float
    low: float
    high: float

    def seconds(self, operations: Mapping[tuple[float, int], int]) -> float:
        """Return how long operations (FLOPs and bytes of each, and how often) take: each what holds it up longer."""
        return sum(
            count * (self.call + max(flops / self.flops, moved / self.bytes))
            for (flops, moved), count in operations.items()
        )


def measure_speed(device: str, precision: str, rows: int, width: int, inner: int, seconds: float) -> Speed:
    """Return the speed of a device for tensors such as a model's: [rows, width] · [width, inner].

    precision: float32 or bfloat16. seconds: how long to measure, about; at least some rounds.
    """
    import torch

    kind = getattr(torch, precision)
    states = torch.ones(rows, width, dtype=kind, device=device)
    weights = torch.ones(width, inner, dtype=kind, device=device)
    wide = torch.ones(rows, inner, dtype=kind, device=device)
    few = torch.ones(8, device=device, requires_grad=True)

    def chain() -> None:
        (few * few + few).sum().backward()

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    with torch.enable_grad():
        products = _repeated(lambda: states @ weights, wait, seconds / 2)
        moves = _repeated(lambda: wide * wide, wait, seconds / 4)
        calls = _repeated(chain, wait, seconds / 4)
    median = statistics.median(products)
    cut = max(1, len(products) // 10) if len(products) > _FEWEST else 0
    ordered = sorted(products)
    return Speed(
        flops=2.0 * rows * width * inner / median,
        bytes=3.0 * wide.numel() * wide.itemsize / statistics.median(moves),
        call=statistics.median(calls) / _CALLS_OF_CHAIN,
        low=ordered[cut] / median,
        high=ordered[-1 - cut] / median,
    )


# Three operations, the start of the backward pass, and five operations that give and add up the gradients.
_CALLS_OF_CHAIN = 9


def _repeated(work: Callable[[], Any], wait: Callable[[], None], seconds: float) -> list[float]:
    """Return the seconds of a call in each of several rounds; the first one, which warms up, is left out."""
    work()
    wait()
    start = time.perf_counter()
    work()
    wait()
    calls = max(1, int(_ROUND / max(time.perf_counter() - start, 1e-7)))
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < _FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        wait()
        found.append((time.perf_counter() - start) / calls)
    return found
