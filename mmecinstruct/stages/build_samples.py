"""Build the samples of a task from the curated tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.settings import WhichCategory
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
from mmecinstruct.sampling.plan import CORE, CORE_FILE, POPULARITY, POPULARITY_FILE, SAMPLED, SAMPLED_FILE
from mmecinstruct.sampling.views import create_sampled_views
from mmecinstruct.schemas.tables import CURATED_TABLES
from mmecinstruct.stages.files import MERGED, CuratedTables
from mmecinstruct.tasks import build_task
from mmecinstruct.tasks.categories import place_products

# The settings of a task that choose among finished samples: only stages `split` and `select` read them.
CHOOSING = ("label_balance", "require_images")


@dataclass(frozen=True)
class Sampled:
    """Files of a recipe that samples: sampled records by task, the k-core and its products, and merged products."""

    drawn: Files
    core: Files
    popularity: Files
    merged: Files


@dataclass(frozen=True, kw_only=True)
class BuildSamples(Stage):
    """Write samples.parquet (samples.UNRENDERED).

    Attributes:
        task: full name.
        tables: the curated tables.
        settings: the task's, without CHOOSING and sizes.
        which_category: which of a product's categories is its own, see `place_products`.
        ood_categories: out-of-domain categories; those of a product go before its others.
        seed: the recipe's.
        sampled: the files of a recipe that samples.
        budget: of the queries.
    """

    name = "task"
    version = 4
    libraries = ("duckdb", "numpy")

    task: str
    tables: CuratedTables
    settings: TaskSettings
    which_category: WhichCategory
    ood_categories: tuple[str, ...]
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
            place_products(connection, self.which_category, self.ood_categories)
            if self.sampled is not None:
                create_view(connection, "all_sampled_records", self.sampled.drawn.paths, SAMPLED)
                create_view(connection, "whole_core", self.sampled.core.paths, CORE)
                create_view(connection, "whole_popularity", self.sampled.popularity.paths, POPULARITY)
                create_view(connection, "merged", self.sampled.merged.paths, MERGED)
                create_sampled_views(connection, self.task)
            output = build_task(
                self.task,
                connection,
                self.settings,
                self.seed,
                sampled=self.sampled is not None,
                ood_categories=self.ood_categories,
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
    building = set(type(settings).model_fields) - {"sizes", *CHOOSING}
    sampled = None
    if sample is not None:
        sampled = Sampled(
            Files.of(sample, SAMPLED_FILE),
            Files.of(sample, CORE_FILE),
            Files.of(sample, POPULARITY_FILE),
            merged,
        )
    return BuildSamples(
        task=task,
        tables=tables,
        settings=only(settings, building),
        which_category=recipe.curate.which_category,
        ood_categories=recipe.split.ood_categories,
        seed=recipe.seed,
        sampled=sampled,
        budget=budget,
    )
