"""Views of the sampled tables for the task builders.

Each builder reads the records sampled for its own task; those of other tasks would bias its samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.sampling.plan import AP, CC, MPC, PRP, PSI, SA, SR

if TYPE_CHECKING:
    import duckdb

# The table that is restricted for each task, and the clause that selects the records sampled for it. CC needs the other
# products for its options, and SR needs what its users bought in other categories, so their builders read `drawn`.
_NARROWED = {
    AP: ("questions", "SEMI JOIN drawn ON one = question_id"),
    PRP: (
        "relations",
        "SEMI JOIN drawn ON one = least(product_a, product_b) AND two = greatest(product_a, product_b)",
    ),
    PSI: ("judgements", "SEMI JOIN drawn ON one = query_id AND two = product_id"),
    MPC: ("judgements", "SEMI JOIN drawn ON one = query_id AND two = product_id"),
    SA: ("reviews", "SEMI JOIN drawn ON one = review_id"),
    SR: ("reviews", "SEMI JOIN drawn ON one = user_id"),
}


def create_sampled_views(connection: duckdb.DuckDBPyConnection, task: str) -> None:
    """Restrict the view of a task's records to those sampled for it, and create the views `drawn` and `core`.

    A record that was sampled under the id of a merged product counts under the kept id.

    Args:
        connection: A connection with views of the curated tables, all_drawn (plan.SAMPLED), whole_core (plan.CORE) and
            merged (columns merged and kept: ids of merged products and of their representatives).
        task: The task's name.
    """
    renamed_one = f"task IN ('{CC}', '{PRP}')"
    renamed_two = f"task IN ('{PRP}', '{PSI}', '{MPC}')"
    connection.execute(
        f"""
        CREATE VIEW drawn AS
        WITH renamed AS (
            SELECT CASE WHEN {renamed_one} THEN coalesce(a.kept, one) ELSE one END AS one,
                   CASE WHEN {renamed_two} THEN coalesce(b.kept, two) ELSE two END AS two
            FROM all_drawn LEFT JOIN merged a ON a.merged = one LEFT JOIN merged b ON b.merged = two
            WHERE task = '{task}'
        )
        SELECT DISTINCT {"least(one, two)" if task == PRP else "one"} AS one,
               {"greatest(one, two)" if task == PRP else "two"} AS two
        FROM renamed
        """
    )
    connection.execute(
        """
        CREATE VIEW core AS SELECT DISTINCT user_id, coalesce(kept, product_id) AS product_id
        FROM whole_core LEFT JOIN merged ON merged = product_id
        """
    )
    if task in _NARROWED:
        name, clause = _NARROWED[task]
        connection.execute(f"ALTER VIEW {name} RENAME TO all_{name}")
        connection.execute(f"CREATE VIEW {name} AS SELECT all_{name}.* FROM all_{name} {clause}")
