"""Sample, over whole tables, the records that samples may be made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.recipe import Recipe
from mmecinstruct.sampling.plan import SamplingPlan
from mmecinstruct.sampling.sample_tables import sample_tables
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Sample(Stage):
    """Write the sampled raw tables, and for which task each record was sampled. tables: the parsed tables by name."""

    name = "sample"
    version = 3
    libraries = ("duckdb", "pyarrow")

    tables: Mapping[str, Files]
    plan: SamplingPlan
    budget: Budget = field(metadata=RUNTIME)

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Sample over all tables at once."""
        with working_connection(folder, self.budget) as connection:
            for name, schema in RAW_TABLES.items():
                create_view(connection, name, self.tables[name].paths, schema)
            sampled = sample_tables(connection, self.plan, folder)
        not_sampled = {name: rows - sampled.kept[name] for name, rows in sampled.rows.items()}
        return Counts(
            sum(sampled.rows.values()),
            sum(sampled.kept.values()),
            0,
            {"rows": sampled.rows, "not_sampled": not_sampled, **sampled.statistics},
            sum(not_sampled.values()),
        )


def sample_stage(
    recipe: Recipe, parsed: Sequence[StageOutput], taken_down: frozenset[str], budget: Budget
) -> Sample:
    """Return the stage of a recipe that samples.

    It samples for all tasks, whichever are built: the splits of one build must be those of another.
    """
    assert recipe.sampling is not None
    tasks = {}
    for task in TASKS:
        settings = recipe.task(task)
        # Sizes are handed over scaled.
        settings = only(settings, set(type(settings).model_fields) - {"sizes"})
        tasks[task] = (settings, recipe.task_sizes(task))
    return Sample(
        tables={name: Files.of(parsed, f"{name}.parquet") for name in RAW_TABLES},
        plan=SamplingPlan(recipe.sampling, recipe.split, tasks, recipe.seed, taken_down),
        budget=budget,
    )
