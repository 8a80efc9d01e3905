"""Draw a bounded number of records per split, and per label where the recipe balances labels, by hash."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from mmecinstruct.core.hashing import hash_draw_sql
from mmecinstruct.recipe import SamplingSettings, Sizes, TaskSettings
from mmecinstruct.schemas.samples import SPLITS

if TYPE_CHECKING:
    import duckdb


def quotas(
    sampling: SamplingSettings, sizes: Sizes, settings: TaskSettings, knows_labels: bool = True
) -> dict[tuple[str, str], int]:
    """Return how many records of each (split, label) are drawn; the label is empty where all count alike."""
    balance = settings.label_balance if knows_labels else None
    return {
        (split, label): ceil(round(getattr(sizes, split) * sampling.oversample * share, 6))
        for split in SPLITS
        for label, share in sorted((balance or {"": 1.0}).items())
        if getattr(sizes, split) and share > 0
    }


def create_drawn(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the empty table `drawn` (task, split, one, two)."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE drawn (task VARCHAR, split VARCHAR, one VARCHAR, two VARCHAR)"
    )


def draw_records(
    connection: duckdb.DuckDBPyConnection,
    task: str,
    candidates: str,
    wanted: dict[tuple[str, str], int],
    seed: int,
) -> dict[str, int]:
    """Add a task's draws to `drawn`; return the number of candidates per split.

    candidates: a SELECT of one, two, split, label. wanted: how many per (split, label), see `quotas`. Whether a record
    is drawn depends on its own hash and on how many others of its split and label have a smaller one.
    """
    labelled = any(label for _, label in wanted)
    rows = ", ".join(
        "('{}', '{}', {})".format(split, label.replace("'", "''"), count)
        for (split, label), count in sorted(wanted.items())
    )
    point = hash_draw_sql(seed, f"sampling:{task}", "one", "coalesce(two, '')")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE candidate AS
        SELECT one, two, split, {"coalesce(label, '')" if labelled else "''"} AS label, {point} AS point
        FROM ({candidates})
        """
    )
    there = dict(connection.execute("SELECT split, count(*) FROM candidate GROUP BY split").fetchall())
    if wanted:
        connection.execute(
            f"""
            INSERT INTO drawn
            WITH quota (split, label, wanted) AS (VALUES {rows}), strata AS (
                SELECT split, label, count(*) AS there FROM candidate GROUP BY split, label
            ), near AS (
                -- Not all need be sorted: the smallest so many of evenly spread hashes lie below this share of their
                -- range, eight standard deviations of room included; should they ever not, a few fewer are drawn.
                SELECT c.*, wanted, there
                FROM candidate c JOIN quota USING (split, label) JOIN strata USING (split, label)
                WHERE c.point / 18446744073709551616.0 < (wanted + 8 * sqrt(wanted) + 64) / there
            )
            SELECT '{task}', split, one, two FROM near
            QUALIFY row_number() OVER (PARTITION BY split, label ORDER BY point, one, two) <= wanted
            """
        )
    connection.execute("DROP TABLE candidate")
    return {split: there.get(split, 0) for split in SPLITS}
