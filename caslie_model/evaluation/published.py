"""The scores that the paper publishes, to stand beside others: they take part in no statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmecinstruct.core.yaml_text import read_yaml
from mmecinstruct.tasks import TASKS

Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """The paper's table.

    Attributes:
        source: Where it is.
        dataset: The dataset of its test sets, as user/name on the Hub.
        baselines: Scores of the paper's baselines by name, each by task (full name) and split.
        models: Scores of the paper's own models, likewise.
        improvement: The paper's rows on CASLIE-M in percent, by name, likewise.
    """

    source: str
    dataset: str
    baselines: dict[str, dict[Cell, float]]
    models: dict[str, dict[Cell, float]]
    improvement: dict[str, dict[Cell, float]]


@cache
def published() -> Published:
    """Return the paper's table."""
    content = read_yaml(Path(__file__).with_name("published.yaml"))
    full_names = {task.short_name: task.name for task in TASKS.values()}
    cells = [(full_names[name], split) for split, names in content["cells"].items() for name in names]

    def rows(name: str) -> dict[str, dict[Cell, float]]:
        return {row: dict(zip(cells, values, strict=True)) for row, values in content[name].items()}

    return Published(
        content["source"], content["dataset"], rows("baselines"), rows("models"), rows("improvement")
    )
