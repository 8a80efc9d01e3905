"""Units of resampling: samples of one user, query or product are not independent of one another.

A unit is drawn as a whole. Where a dataset does not tell what its samples share, each sample is a unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caslie_model.data.samples import Groups, Sample
from mmecinstruct.duplicates.clusters import connected_components
from mmecinstruct.tasks import TASKS

# Share of the rows in one component of pairs, above which too few units would be left.
LARGEST_COMPONENT = 0.2


@dataclass(frozen=True, slots=True)
class Units:
    """The unit of each sample.

    Attributes:
        names: A unit a sample.
        kind: What a unit is, in words.
    """

    names: tuple[str, ...]
    kind: str

    @property
    def count(self) -> int:
        """The number of different units."""
        return len(set(self.names))


def sample_units(task: str, samples: Sequence[Sample]) -> Units:
    """Return the units that samples of one task and split are resampled by.

    Args:
        task: Full name of the task, which says what its samples share.
        samples: All samples of the task's split: pairs of products are connected through one another.

    Returns:
        The unit of each sample. A sample without the ids is a unit of its own.
    """
    facts = TASKS[task]
    if facts.splits_by_user:
        return _units(samples, "user", lambda groups: _prefixed("user", groups.user))
    if "query" in facts.not_shared:
        return _units(samples, "query", lambda groups: _prefixed("query", groups.query))
    if facts.row.any_order:
        return _pair_units(samples)
    return _units(samples, "product group or cluster", _product_unit)


def _units(samples: Sequence[Sample], kind: str, name: Callable[[Groups], str | None]) -> Units:
    names = [name(sample.groups) for sample in samples]
    without = names.count(None)
    if without == len(names):
        kind = "row (no ids)"
    elif without:
        kind = f"{kind}; {without:,} without ids: row"
    return Units(
        tuple(
            f"row {sample.id}" if name is None else name for sample, name in zip(samples, names, strict=True)
        ),
        kind,
    )


def _product_unit(groups: Groups) -> str | None:
    for kind, names in (
        ("group", groups.groups),
        ("cluster", groups.clusters),
        ("product", groups.products),
    ):
        if names:
            return _prefixed(kind, names[0])
    return None


def _pair_units(samples: Sequence[Sample]) -> Units:
    """Return the connected components of pairs, or first clusters where one component is too large."""
    ends = [sample.groups.clusters or sample.groups.products for sample in samples]
    component = connected_components(
        (name for names in ends for name in names),
        ((names[0], other) for names in ends for other in names[1:]),
    )
    largest = max(Counter(component[names[0]] for names in ends if names).values(), default=0)
    if largest <= LARGEST_COMPONENT * len(samples):
        return _units(
            samples,
            "connected component of pairs",
            lambda groups: _prefixed("component", component.get(_first_end(groups))),
        )
    return _units(
        samples,
        "first product's cluster (one component holds over a fifth of the rows)",
        lambda groups: _prefixed("cluster", _first_end(groups) or None),
    )


def _first_end(groups: Groups) -> str:
    return next(iter(groups.clusters or groups.products), "")


def _prefixed(kind: str, name: str | None) -> str | None:
    return None if name is None else f"{kind} {name}"
