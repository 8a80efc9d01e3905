from __future__ import annotations

from collections import Counter

import pytest
import torch

from caslie_model.counting import Operation
from caslie_model.speed import Speed, measure_speed

SPEED = Speed(flops=1e9, bytes=1e8, draws=1e7, calls=1e3, low=0.9, high=1.2)


@pytest.mark.parametrize(
    ("operation", "seconds"),
    [
        (Operation(1e9, 8, 0), 1.001),
        (Operation(1e6, 10**9, 0), 10.001),
        (Operation(0, 4, 10**7), 1.001),
        (Operation(0, 0, 0), 0.001),
    ],
)
def test_what_holds_an_operation_up_longest_is_its_time(operation: Operation, seconds: float) -> None:
    assert SPEED.seconds({operation: 1}) == pytest.approx(seconds)
    assert SPEED.seconds(Counter({operation: 3})) == pytest.approx(3 * seconds)


def test_a_short_measurement_of_this_machine_leaves_random_numbers_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    speed = measure_speed("cpu", "float32", 64, 64, 128, 0.02)
    assert torch.equal(torch.rand(3), expected)
    assert min(speed.flops, speed.bytes, speed.draws) > 1e6
    assert speed.calls > 1e2
    assert 0 < speed.low <= 1 <= speed.high
