"""The tables of whoever builds."""

from __future__ import annotations

from mmecinstruct.samples import TASKS
from mmecinstruct.sources.publishers.facts import YOURS, Licence, Publisher

PUBLISHER = Publisher(
    name="catalogue",
    title="Your own catalogue",
    homepage="docs/own_shop.md",
    licence=Licence("yours: `publish.license` of the recipe says what it is", None, YOURS, YOURS),
    kinds=("catalog",),
    tasks=TASKS,
    notes=(
        "CSV, TSV, JSON lines or Parquet, by a mapping of columns in the recipe. Nothing is fetched.",
        "With `licences: open` it is taken where `publish.license` names a licence, and left out where it says "
        "`other`.",
    ),
)
