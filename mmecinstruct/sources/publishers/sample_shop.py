"""The built-in shop: no publisher's records, in the publishers' formats."""

from __future__ import annotations

from mmecinstruct.samples import TASKS
from mmecinstruct.sources.publishers.facts import YES, Licence, Publisher

PUBLISHER = Publisher(
    name="sample",
    title="The built-in sample shop",
    homepage="docs/sample_shop.md",
    licence=Licence("CC0 1.0: drawn by this program from a seed", "CC0-1.0", YES, YES),
    kinds=(),
    tasks=TASKS,
    notes=(
        "The recipe `sample` draws it and reads it with the kinds of the publishers whose formats it writes. Nothing "
        "is fetched, and no real record is in it.",
    ),
)
