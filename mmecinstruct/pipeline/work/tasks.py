"""Build one task's samples from the curated tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.duckdb import DEFAULT_BUDGET, Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.stage import REJECTIONS_FILE, Counts
from mmecinstruct.pipeline.work.files import MERGED, CuratedTables, Paths
from mmecinstruct.recipe import TaskSettings
from mmecinstruct.sampling.plan import CORE, SAMPLED
from mmecinstruct.schemas.tables import CURATED_TABLES


@dataclass(frozen=True)
class BuildTaskPayload:
    """Build one task's samples. drawn, core, merged: where the recipe samples, see `create_sampled_views`."""

    task: str
    tables: CuratedTables
    settings: TaskSettings
    seed: int
    drawn: Paths = ()
    core: Paths = ()
    merged: Paths = ()
    budget: Budget = DEFAULT_BUDGET


def build_task_work(payload: BuildTaskPayload, folder: Path) -> Counts:
    """Write samples.parquet (samples.UNRENDERED)."""
    from mmecinstruct.sampling.views import create_sampled_views
    from mmecinstruct.tasks import build_task

    with working_connection(folder, payload.budget) as connection:
        for name, schema in CURATED_TABLES.items():
            create_view(connection, name, getattr(payload.tables, name), schema)
        if payload.drawn:
            create_view(connection, "all_drawn", payload.drawn, SAMPLED)
            create_view(connection, "whole_core", payload.core, CORE)
            create_view(connection, "merged", payload.merged, MERGED)
            create_sampled_views(connection, payload.task)
        output = build_task(
            payload.task, connection, payload.settings, payload.seed, sampled=bool(payload.drawn)
        )
    write_table(output.samples, folder / "samples.parquet")
    if output.rejections.num_rows:
        write_table(output.rejections, folder / REJECTIONS_FILE)
    return Counts(
        output.records_in, output.records_in - output.rejections.num_rows, output.rejections.num_rows
    )
