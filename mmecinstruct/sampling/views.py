"""Views of the sampled tables for the task builders.

Each builder reads the records sampled for its own task; those of other tasks would bias its samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.task import Record

if TYPE_CHECKING:
    import duckdb

# By the names of a task's records: the table of these records, and the clause that keeps the sampled ones. A task of
# products needs other products for its options, and users own what they bought in other categories: such tasks read
# `sampled_records` themselves.
_NARROWED: dict[tuple[Record, Record | None], tuple[str, str]] = {
    ("question", "product"): ("questions", "SEMI JOIN sampled_records ON one = question_id"),
    ("product", "product"): (
        "relations",
        "SEMI JOIN sampled_records ON one = least(product_a, product_b) AND two = greatest(product_a, product_b)",
    ),
    ("query", "product"): ("judgements", "SEMI JOIN sampled_records ON one = query_id AND two = product_id"),
    ("review", "product"): ("reviews", "SEMI JOIN sampled_records ON one = review_id"),
    ("user", None): ("reviews", "SEMI JOIN sampled_records ON one = user_id"),
}


def create_sampled_views(connection: duckdb.DuckDBPyConnection, task: str) -> None:
    """Restrict the view of a task's records to those sampled for it; create `sampled_records`, `core` and `popularity`.

    A record that was sampled under the id of a merged product counts under the kept id. In the view `popularity` a
    merged product keeps a row of its own, as it had when products were chosen, with the kept id as item_id.

    Args:
        connection: A connection with views of the curated tables, all_sampled_records (plan.SAMPLED), whole_core
            (plan.CORE), whole_popularity (plan.POPULARITY) and merged (columns merged and kept: ids of merged products
            and of their representatives).
        task: The task's name.
    """
    one, two = TASKS[task].sampling.one, TASKS[task].sampling.two
    is_pair = one == two == "product"
    new_one = "coalesce(a.kept, one)" if one == "product" else "one"
    new_two = "coalesce(b.kept, two)" if two == "product" else "two"
    connection.execute(
        f"""
        CREATE VIEW sampled_records AS
        WITH renamed AS (
            SELECT {new_one} AS one, {new_two} AS two
            FROM all_sampled_records LEFT JOIN merged a ON a.merged = one LEFT JOIN merged b ON b.merged = two
            WHERE task = '{task}'
        )
        SELECT DISTINCT {"least(one, two)" if is_pair else "one"} AS one,
               {"greatest(one, two)" if is_pair else "two"} AS two
        FROM renamed
        """
    )
    connection.execute(
        """
        CREATE VIEW core AS SELECT DISTINCT user_id, coalesce(kept, product_id) AS product_id
        FROM whole_core LEFT JOIN merged ON merged = product_id
        """
    )
    connection.execute(
        """
        CREATE VIEW popularity AS
        SELECT product_id, coalesce(kept, product_id) AS item_id, category, interactions
        FROM whole_popularity LEFT JOIN merged ON merged = product_id
        """
    )
    if (one, two) in _NARROWED:
        name, clause = _NARROWED[one, two]
        connection.execute(f"ALTER VIEW {name} RENAME TO all_{name}")
        connection.execute(f"CREATE VIEW {name} AS SELECT all_{name}.* FROM all_{name} {clause}")
