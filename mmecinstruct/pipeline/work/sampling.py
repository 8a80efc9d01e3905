"""Draw, over whole tables, the records that samples may be made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.engine.stage import Counts
from mmecinstruct.pipeline.work.files import Paths
from mmecinstruct.sampling.plan import SamplingPlan
from mmecinstruct.schemas.tables import RAW_TABLES


@dataclass(frozen=True)
class SamplingPayload:
    """Draw the records that samples may be made from. tables: files of each raw table."""

    tables: dict[str, Paths]
    plan: SamplingPlan
    budget: Budget


def sample_tables_work(payload: SamplingPayload, folder: Path) -> Counts:
    """Write the thinned raw tables, and what was drawn."""
    from mmecinstruct.sampling.sample_tables import sample_tables

    with working_connection(folder, payload.budget) as connection:
        for name, schema in RAW_TABLES.items():
            create_view(connection, name, payload.tables[name], schema)
        sampled = sample_tables(connection, payload.plan, folder)
    not_drawn = {name: rows - sampled.kept[name] for name, rows in sampled.rows.items()}
    return Counts(
        sum(sampled.rows.values()),
        sum(sampled.kept.values()),
        0,
        {"rows": sampled.rows, "not_drawn": not_drawn, **sampled.statistics},
        sum(not_drawn.values()),
    )
