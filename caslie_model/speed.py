"""How fast this machine is just now: products of matrices, moving and drawing of numbers, the price of a call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caslie_model.counting import Operation

_ROUND = 0.01  # seconds of one measurement
_FEWEST = 3  # measurements
_BEYOND_CACHES = 64_000_000  # bytes


@dataclass(frozen=True)
class Speed:
    """What is done in a second, each the median of several short measurements; and how far these lie apart."""

    flops: float
    bytes: float  # read and written, in main memory
    draws: float  # random numbers
    calls: float  # of operations on next to nothing
    low: float  # factors of time: most measurements of products took at least
    high: float  # and at most so much of the median

    def seconds(self, operations: Mapping[Operation, int]) -> float:
        """Return how long operations take, each as often as it says: what holds it up longest, and the call."""
        return sum(
            count
            * (
                1 / self.calls
                + max(each.flops / self.flops, each.moved / self.bytes, each.drawn / self.draws)
            )
            for each, count in operations.items()
        )


def measure_speed(device: str, precision: str, rows: int, width: int, inner: int, seconds: float) -> Speed:
    """Return the speed of a device for tensors such as a model's: [rows, width] · [width, inner].

    precision: float32 or bfloat16. seconds: how long to measure, about; at least some rounds.
    """
    import torch

    kind = getattr(torch, precision)
    states = torch.ones(rows, width, dtype=kind, device=device)
    weights = torch.ones(width, inner, dtype=kind, device=device)
    # Rows enough that none of the results is still in a cache when it is next written over.
    room = max(2, _BEYOND_CACHES // (rows * inner * states.itemsize))
    wide = [torch.ones(rows, inner, dtype=kind, device=device) for _ in range(room)]
    few = torch.ones(8, device=device, requires_grad=True)

    def chain() -> None:
        (few * few + few).sum().backward()

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def move() -> None:
        for one, other in zip(wide, [*wide[1:], wide[0]], strict=True):
            torch.mul(one, one, out=other)

    generator = torch.Generator(device)  # the training's own draws must not change

    def draw() -> None:
        wide[0].bernoulli_(0.5, generator=generator)

    with torch.enable_grad():
        products = _repeated(lambda: states @ weights, wait, seconds / 2)
        moves = _repeated(move, wait, seconds / 4)
        draws = _repeated(draw, wait, seconds / 8)
        calls = _repeated(chain, wait, seconds / 8)
    numbers = rows * inner
    median = statistics.median(products)
    cut = max(1, len(products) // 10) if len(products) > _FEWEST else 0
    ordered = sorted(products)
    return Speed(
        flops=2.0 * rows * width * inner / median,
        bytes=2.0 * room * numbers * states.itemsize / statistics.median(moves),
        draws=numbers / statistics.median(draws),
        calls=_CALLS_OF_CHAIN / statistics.median(calls),
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
