"""What task builders are shown of the thinned tables: each its own draws, or one task's draws would bias another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmecinstruct.sampling.plan import AP, CC, MPC, PRP, PSI, SA, SR

if TYPE_CHECKING:
    import duckdb

# The table whose rows a task counts, and the clause that leaves those that belong to its draws. CC's other products are
# needed for its options, and SR's users own what they bought in other categories, so their builders look into `drawn`
# themselves.
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


def show_drawn(connection: duckdb.DuckDBPyConnection, task: str) -> None:
    """Narrow the view of a task's records to those drawn for it; create the views `drawn` and `core`.

    Views that must be there: the curated tables; all_drawn (plan.DRAWN), whole_core (plan.CORE) and merged (ids of
    products that were merged, and the ids that stayed: what was drawn under one name counts under the other).
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
