"""The k-core of users' interactions with products, to its fixed point.

Users and products with fewer than k interactions are removed until none is left to remove. Texts are looked at
twice: once to number the users and products that can be in the core at all (who has fewer than k rows cannot), and
once to read the interactions that remained. The rounds between run over two integers per interaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_TABLES = ("k_core_user", "k_core_product", "k_core_pair", "k_core_row", "k_core_repeated")
_SIDES = ("product_code", "user_code")


def create_k_core(connection: duckdb.DuckDBPyConnection, source: str, target: str, k: int) -> int:
    """Create the table `target` with the interactions of the k-core; return the number of rounds that it took.

    source: a table or view with user_id, product_id, timestamp (may be null) and review_id, one row per review. Several
    reviews of a product by the same user are one interaction, and the first of them stands for it: the earliest, of
    equally early ones that with the smallest review_id; an undated one only where none is dated. Rows without a user or
    a product are left out. target: the columns user_id, product_id, timestamp, review_id; a temporary table, replaced
    where it exists. A round removes products with fewer than k users, then users with fewer than k products.

    The fixed point does not depend on the order of rows or rounds. Raises ValueError for a k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    try:
        _number(connection, source, k)
        rounds = 0
        while k > 1 and _remove_scarce(connection, k):
            rounds += 1
        _read_core(connection, source, target)
    finally:
        for table in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    return rounds


def _number(connection: duckdb.DuckDBPyConnection, source: str, k: int) -> None:
    """Create `k_core_user` and `k_core_product` (id, code) and `k_core_pair`, each interaction of theirs once."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE k_core_user AS
        SELECT user_id, (row_number() OVER ())::UINTEGER AS user_code
        FROM (
            SELECT user_id FROM {source} WHERE user_id <> '' AND product_id <> ''
            GROUP BY user_id HAVING count(*) >= {k}
        )
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE k_core_product AS
        SELECT product_id, (row_number() OVER ())::UINTEGER AS product_code
        FROM (
            SELECT product_id FROM {source} SEMI JOIN k_core_user USING (user_id)
            WHERE product_id <> '' GROUP BY product_id HAVING count(*) >= {k}
        )
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE k_core_pair AS
        SELECT DISTINCT user_code, product_code
        FROM {source} JOIN k_core_user USING (user_id) JOIN k_core_product USING (product_id)
        """
    )


def _remove_scarce(connection: duckdb.DuckDBPyConnection, k: int) -> bool:
    """Remove one round's scarce products and users; return whether there were any."""
    removed = 0
    for side in _SIDES:
        ((count,),) = connection.execute(
            f"DELETE FROM k_core_pair WHERE {side} IN"
            f" (SELECT {side} FROM k_core_pair GROUP BY {side} HAVING count(*) < {k})"
        ).fetchall()
        removed += count
    return removed > 0


def _read_core(connection: duckdb.DuckDBPyConnection, source: str, target: str) -> None:
    """Create the target. In steps, so that no query holds many tables at once; few interactions are repeated."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE k_core_row AS
        SELECT user_code, product_code, timestamp, review_id
        FROM {source} JOIN k_core_user USING (user_id) JOIN k_core_product USING (product_id)
        SEMI JOIN k_core_pair USING (user_code, product_code)
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE k_core_repeated AS
        SELECT user_code, product_code FROM k_core_row GROUP BY ALL HAVING count(*) > 1
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target} AS
        WITH first AS (
            SELECT * FROM k_core_row ANTI JOIN k_core_repeated USING (user_code, product_code)
            UNION ALL
            SELECT * FROM k_core_row SEMI JOIN k_core_repeated USING (user_code, product_code)
            QUALIFY row_number() OVER (
                PARTITION BY user_code, product_code ORDER BY timestamp NULLS LAST, review_id NULLS LAST) = 1
        )
        SELECT user_id, product_id, timestamp, review_id
        FROM first JOIN k_core_user USING (user_code) JOIN k_core_product USING (product_code)
        """
    )
