"""The plan of a build: sizes wanted, and raw files found and missing. Nothing is parsed or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmecinstruct.pipeline.target import resolve_target
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.licences import apply_licences
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.sources import source_patterns
from mmecinstruct.sources.publishers import absent_files
from mmecinstruct.sources.readers.matching import matching_files, stays_below
from mmecinstruct.sources.settings import Source


@dataclass(frozen=True)
class PlannedSource:
    """A source of a recipe.

    Attributes:
        kind: The source's kind.
        files: Its raw files that are there, as paths below the data root.
        bytes: Their size.
        missing: Paths, and patterns of paths, without a file.
    """

    kind: str
    files: tuple[str, ...]
    bytes: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class BuildPlan:
    """The plan of a build.

    Attributes:
        recipe: The recipe's name.
        out: The dataset folder that would be written.
        sizes: Task -> split -> the most samples that are wanted.
        sources: The recipe's sources; none for the sample shop, which is generated.
        left_out: Sources that the recipe's licences leave out, with why.
        warnings: Sources that may not be passed on.
    """

    recipe: str
    out: Path
    sizes: dict[str, dict[str, int]]
    sources: tuple[PlannedSource, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as values of JSON."""
        return {**asdict(self), "out": str(self.out)}


def plan_build(recipe: Recipe, out: Path, tasks: Sequence[str], data: Path) -> BuildPlan:
    """Return the plan of a build.

    Args:
        recipe: The recipe.
        out: The dataset folder that would be written.
        tasks: Full names of the tasks.
        data: Root of the recipe's relative paths.

    Raises:
        RecipeError: The recipe's licences leave nothing to build from.
        DatasetError: `out` holds something else.
    """
    allowed = apply_licences(recipe)
    resolve_target(out)
    sources = () if recipe.sample is not None else allowed.recipe.sources
    return BuildPlan(
        recipe.name,
        out,
        {task: {split: getattr(recipe.task_sizes(task), split) for split in SPLITS} for task in tasks},
        tuple(_planned(source, data) for source in sources),
        allowed.left_out,
        allowed.warnings,
    )


def _planned(source: Source, data: Path) -> PlannedSource:
    files: list[str] = []
    missing: list[str] = []
    for _, _, pattern, optional in source_patterns(source):
        found = matching_files(data, pattern) if stays_below(pattern) else []
        files += found
        if not found and not optional:
            missing.append(pattern)
    missing += absent_files(source, data)
    size = sum((data / file).stat().st_size for file in files)
    return PlannedSource(source.kind, tuple(files), size, tuple(missing))
