"""Charts of values with their intervals, as inline SVG.

Labels and figures are text of the page and only lines are SVG, so that a phone shows both in a readable size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmecinstruct.reporting.page import fragment

# The SVG's own width; the page stretches it.
_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval.

    Attributes:
        label: What it is of.
        value: The value.
        low: The lower bound.
        high: The upper bound.
        text: The value as it is written.
        is_marked: Whether it stands out.
    """

    label: str
    value: float
    low: float
    high: float
    text: str
    is_marked: bool = False


def interval_chart(
    caption: str, intervals: Sequence[Interval], *, symmetric: bool = False, unit: str = ""
) -> Markup:
    """Return a chart with a line for each interval on one axis.

    Args:
        caption: What the chart shows.
        intervals: From top to bottom.
        symmetric: Whether the axis has 0 in its middle, as for differences; otherwise it starts at 0.
        unit: Behind the figures of the axis.
    """
    reach = max((abs(bound) for each in intervals for bound in (each.low, each.high, each.value)), default=0)
    reach = _round_up(reach)
    start = -reach if symmetric else 0.0

    def place(value: float) -> float:
        return round((value - start) / (reach - start) * _WIDTH, 1)

    return fragment(
        "interval_chart.html.j2",
        caption=caption,
        width=_WIDTH,
        middle=_WIDTH / 2 if symmetric else None,
        ticks=[_tick(tick, symmetric) + unit for tick in (start, (start + reach) / 2, reach)],
        lines=[
            {"interval": each, "low": place(each.low), "high": place(each.high), "at": place(each.value)}
            for each in intervals
        ],
    )


def _tick(value: float, symmetric: bool) -> str:
    text = f"{value:+g}" if symmetric and value else f"{value:g}"
    return text.replace("-", "−")


def _round_up(reach: float) -> float:
    """Return the end of the axis: the next of 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2 and so on."""
    scale = 0.01
    while True:
        for step in (1, 2, 5):
            if reach <= scale * step and scale * step >= 0.02:
                return round(scale * step, 10)
        scale *= 10
