"""Build the samples of a task from the curated tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import (
    REJECTIONS_FILE,
    RUNTIME,
    Counts,
    Files,
    Stage,
    StageOutput,
    WorkItem,
    only,
)
from mmecinstruct.recipe import Recipe, TaskSettings
from mmecinstruct.sampling.plan import CORE, CORE_FILE, SAMPLED, SAMPLED_FILE
from mmecinstruct.sampling.views import create_sampled_views
from mmecinstruct.schemas.tables import CURATED_TABLES
from mmecinstruct.stages.files import MERGED, CuratedTables
from mmecinstruct.tasks import build_task

# The settings of a task that choose among finished samples: only stage `select` reads them.
SELECTING = ("label_balance", "require_images")


@dataclass(frozen=True)
class Sampled:
    """Files of a recipe that samples: sampled records by task, the k-core of all users, and merged products."""

    drawn: Files
    core: Files
    merged: Files


@dataclass(frozen=True, kw_only=True)
class BuildSamples(Stage):
    """Write samples.parquet (samples.UNRENDERED). settings: without SELECTING and sizes."""

    name = "task"
    version = 4
    libraries = ("duckdb", "numpy")

    task: str
    tables: CuratedTables
    settings: TaskSettings
    seed: int
    sampled: Sampled | None
    budget: Budget = field(metadata=RUNTIME)

    @property
    def label(self) -> str:
        """The stage's name with the task."""
        return f"{self.name}-{self.task}"

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Build all samples of the task."""
        with working_connection(folder, self.budget) as connection:
            for name, schema in CURATED_TABLES.items():
                create_view(connection, name, getattr(self.tables, name).paths, schema)
            if self.sampled is not None:
                create_view(connection, "all_sampled_records", self.sampled.drawn.paths, SAMPLED)
                create_view(connection, "whole_core", self.sampled.core.paths, CORE)
                create_view(connection, "merged", self.sampled.merged.paths, MERGED)
                create_sampled_views(connection, self.task)
            output = build_task(
                self.task, connection, self.settings, self.seed, sampled=self.sampled is not None
            )
        write_table(output.samples, folder / "samples.parquet")
        rejected = output.rejections.num_rows
        if rejected:
            write_table(output.rejections, folder / REJECTIONS_FILE)
        return Counts(output.records_in, output.records_in - rejected, rejected)


def build_samples_stage(
    recipe: Recipe,
    task: str,
    tables: CuratedTables,
    sample: StageOutput | None,
    merged: Files,
    budget: Budget,
) -> BuildSamples:
    """Return the stage of a task. sample: the output of `sample`, where the recipe samples."""
    settings = recipe.task(task)
    building = set(type(settings).model_fields) - {"sizes", *SELECTING}
    sampled = None
    if sample is not None:
        sampled = Sampled(Files.of(sample, SAMPLED_FILE), Files.of(sample, CORE_FILE), merged)
    return BuildSamples(
        task=task,
        tables=tables,
        settings=only(settings, building),
        seed=recipe.seed,
        sampled=sampled,
        budget=budget,
    )
