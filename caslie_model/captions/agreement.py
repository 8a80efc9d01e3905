"""How far judges agree: Krippendorff's alpha of nominal values, some of which may be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Agreement of judges.

    Attributes:
        alpha: 1 for judges that always agree, 0 for judges that agree as often as chance would; None where it is not
            defined.
        units: How many units were judged by two judges or more; the others say nothing of agreement.
        reason: Why there is no alpha; None where there is one.
    """

    alpha: float | None
    units: int
    reason: str | None = None


def krippendorff_alpha(units: Iterable[Sequence[Hashable | None]]) -> Agreement:
    """Return Krippendorff's alpha of nominal values.

    alpha = 1 - D_o / D_e, where D_o is the share of differing pairs within units (a unit of m values gives m values'
    weight to its pairs), and D_e the share of differing pairs among all values of these units.

    Args:
        units: The judges' values of each unit, in the order of the judges; None for a missing one.
    """
    totals: Counter[Hashable] = Counter()
    differing = 0.0
    pairable = 0
    for unit in units:
        values = Counter(value for value in unit if value is not None)
        count = values.total()
        if count < 2:
            continue
        pairable += 1
        totals += values
        differing += (count * count - sum(n * n for n in values.values())) / (count - 1)
    if not pairable:
        return Agreement(None, 0, "no caption has the votes of two judges")
    n = totals.total()
    expected = (n * n - sum(m * m for m in totals.values())) / (n - 1)
    if not expected:
        return Agreement(None, pairable, "all votes are the same")
    return Agreement(1 - differing / expected, pairable)
