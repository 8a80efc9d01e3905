"""How often each product of the k-core was interacted with, as far as it matters for its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def create_popularity(
    connection: duckdb.DuckDBPyConnection, core: str, outsiders: str, is_ood: str, target: str
) -> None:
    """Create the temporary table `target` (product, category, interactions) with every product of the core once.

    Interactions of in-domain products count those of in-domain users, interactions of out-of-domain products those of
    out-of-domain users: a user's samples are in one domain only. A product that only the others interacted with has 1.

    Args:
        connection: of the tables that the expressions name.
        core: SELECT of customer, product, category: each interaction of the core once, with the product's top-level
            category.
        outsiders: SELECT of customer: users with a sequence in an out-of-domain category, each once.
        is_ood: condition over `category`: whether it is out of domain.
        target: name of the table.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target} AS
        SELECT product, category,
               greatest(count(*) FILTER ((outsider IS NOT NULL) = ({is_ood})), 1) AS interactions
        FROM ({core}) LEFT JOIN (SELECT customer AS outsider FROM ({outsiders})) ON outsider = customer
        GROUP BY product, category
        """
    )
