"""Reduce the raw tables to the records that samples may be made from, over whole files, by hash.

For each task and split the recipe's number of samples times `sampling.oversample` records are sampled. They come from
the records that the task can use and whose predicted split is that split. Rows that no sampled record needs are counted
as not sampled; they are not rejected. The later stages (near-duplicates, languages, readable images, final splits) work
on the sampled rows.

All reviews of a sampled user are kept, so that no item the user owns becomes a candidate for a new one. The k-core is
that of all interactions, not of the reduced ones; its part of the sampled users is written to core.parquet, and the
popularity of all its products to popularity.parquet. Products that will be candidates beside the target are chosen from
the whole core, and kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmecinstruct.core.duckdb import write_query
from mmecinstruct.sampling.plan import (
    CORE,
    CORE_FILE,
    JUDGED,
    JUDGED_FILE,
    POPULARITY,
    POPULARITY_FILE,
    SAMPLED,
    SAMPLED_FILE,
    SamplingPlan,
    tasks_sampled_by,
)
from mmecinstruct.sampling.predicted_splits import (
    create_expected_products,
    create_expected_queries,
    known_ood_categories,
    split_sql,
    text_list,
)
from mmecinstruct.sampling.quotas import create_sampled, quotas, sample_records
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.k_core import with_ids
from mmecinstruct.tasks.task import PredictedSplits

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Sampled:
    """Counts of sampling.

    Attributes:
        rows: Rows of each raw table.
        kept: Kept rows of each raw table.
        statistics: Candidates and sampled records per task and split, for a person.
    """

    rows: dict[str, int]
    kept: dict[str, int]
    statistics: dict[str, Any]


def sample_tables(connection: duckdb.DuckDBPyConnection, plan: SamplingPlan, folder: Path) -> Sampled:
    """Sample records and write `<table>.parquet` of each raw table with kept rows, and the other files of plan.py.

    Args:
        connection: A connection with a view of each raw table with file_index and row_index, in whose order the rows
            are written.
        plan: The sampling plan.
        folder: The folder of the files.
    """
    create_expected_products(connection, plan.split, plan.seed, plan.taken_down, plan.which_category)
    create_expected_queries(connection, plan.split, plan.seed)
    ood_categories = known_ood_categories(connection, plan.split.ood_categories)
    outside = _outside(connection, ood_categories)
    create_sampled(connection)
    connection.execute("CREATE OR REPLACE TEMP TABLE offered (product_id VARCHAR)")
    available = {}
    core: dict[str, int] = {}
    splits = PredictedSplits(
        is_ood=f"list_contains({text_list(ood_categories)}, category)",
        of_user=split_sql(plan.split, plan.seed, "split:user", "user_id"),
    )
    for task, (settings, sizes) in plan.tasks.items():
        sampling = TASKS[task].sampling
        found = sampling.candidates(connection, settings, splits)
        if found.core_rounds is not None:
            core = {"rounds": found.core_rounds, "interactions": _count(connection, "sampling_core")}
        wanted = quotas(plan.sampling, sizes, settings, sampling.knows_labels)
        available[task] = sample_records(connection, task, found.select, wanted, plan.seed)
        connection.execute("DROP TABLE IF EXISTS sampling_placed")
        if sampling.create_offered is not None:
            sampling.create_offered(connection, settings, plan.seed)
            connection.execute("INSERT INTO offered FROM sampling_offered; DROP TABLE sampling_offered")
    _create_kept(connection, plan.taken_down)
    rows = {name: _count(connection, name) for name in RAW_TABLES}
    kept = {
        name: write_query(
            connection,
            f"SELECT {name}.* FROM {name} {narrowed} ORDER BY file_index, row_index",
            RAW_TABLES[name],
            folder / f"{name}.parquet",
        )
        for name, narrowed in _narrowed().items()
    }
    write_query(
        connection, "SELECT * FROM sampled ORDER BY task, split, one, two", SAMPLED, folder / SAMPLED_FILE
    )
    write_query(
        connection,
        "SELECT product_id, split FROM expected_product SEMI JOIN kept_product USING (product_id) "
        "WHERE is_judged ORDER BY product_id",
        JUDGED,
        folder / JUDGED_FILE,
    )
    if core:
        write_query(
            connection,
            f"SELECT user_id, product_id FROM ({with_ids('sampling_core')}) SEMI JOIN kept_user USING (user_id) "
            "ORDER BY user_id, product_id",
            CORE,
            folder / CORE_FILE,
        )
        write_query(
            connection,
            "SELECT product_id, category, interactions FROM sampling_popularity "
            "JOIN sampling_core_product ON product_code = product ORDER BY product_id",
            POPULARITY,
            folder / POPULARITY_FILE,
        )
    return Sampled(
        rows,
        kept,
        {"available": available, "drawn": _count_sampled(connection), "core": core, "ood_products": outside},
    )


def _create_kept(connection: duckdb.DuckDBPyConnection, taken_down: Collection[str]) -> None:
    """Create `kept_user` and `kept_product` from `sampled` and `offered`.

    A product's records in other sources are kept with it, since they decide its cluster and category. Products that are
    taken down are kept too, so that curation rejects and reports them.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept_user AS "
        f"SELECT DISTINCT one AS user_id FROM sampled WHERE task IN {tasks_sampled_by(one='user')}"
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE kept_product AS
        WITH named AS (
            SELECT one AS product_id FROM sampled WHERE task IN {tasks_sampled_by(one="product")}
            UNION SELECT two FROM sampled WHERE task IN {tasks_sampled_by(two="product")}
            UNION SELECT product_id FROM reviews SEMI JOIN kept_user USING (user_id)
            UNION SELECT product_id FROM offered
        ), items AS (
            SELECT DISTINCT item FROM expected_product SEMI JOIN named USING (product_id)
        )
        SELECT product_id FROM expected_product SEMI JOIN items USING (item)
        UNION SELECT unnest({text_list(taken_down)})
        """
    )


def _narrowed() -> dict[str, str]:
    """Return the clause that selects the kept rows of each raw table."""
    of_product = "SEMI JOIN kept_product USING (product_id)"
    of_query = tasks_sampled_by(one="query")
    return {
        "products": of_product,
        "reviews": f"""WHERE user_id IN (SELECT user_id FROM kept_user)
            OR review_id IN (SELECT one FROM sampled WHERE task IN {tasks_sampled_by(one="review")})""",
        "relations": f"""SEMI JOIN sampled ON sampled.task IN {tasks_sampled_by(one="product", two="product")}
            AND one = least(product_a, product_b)
            AND two = greatest(product_a, product_b)""",
        "judgements": f"""SEMI JOIN sampled ON sampled.task IN {of_query} AND one = query_id
            AND two = product_id""",
        "questions": f"SEMI JOIN sampled ON sampled.task IN {tasks_sampled_by(one='question')} AND one = question_id",
        "category_labels": of_product,
        "product_images": of_product,
        "query_kinds": f"SEMI JOIN sampled ON sampled.task IN {of_query} AND one = query_id",
    }


def _outside(connection: duckdb.DuckDBPyConnection, categories: Collection[str]) -> dict[str, int]:
    """Return the number of products of each out-of-domain category, sampled or not."""
    return dict(
        connection.execute(
            "SELECT category, count(*) FROM expected_product "
            f"WHERE list_contains({text_list(categories)}, category) GROUP BY category ORDER BY category"
        ).fetchall()
    )


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
    return int(count)


def _count_sampled(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for task, split, count in connection.execute(
        "SELECT task, split, count(*) FROM sampled GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        counts.setdefault(task, {})[split] = count
    return counts
