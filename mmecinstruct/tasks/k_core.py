"""The k-core of users' interactions with products, to its fixed point.

Users and products with fewer than k interactions are removed until none is left to remove. Texts are read
twice: once to number the users and products that can be in the core at all (who has fewer than k rows cannot), and
once to number the interactions of those. The rounds between run over two integers and a time per interaction, and the
core is handed on in these numbers: callers join the ids last, for the few rows that they keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_WORKING = ("k_core_pair", "k_core_scarce", "k_core_touched")
_SIDES = ("product", "user")


def create_k_core(connection: duckdb.DuckDBPyConnection, source: str, target: str, k: int) -> int:
    """Create the table `target` with the interactions of the k-core; return the number of rounds that it took.

    source: a table or view with user_id, product_id, timestamp (may be null), one row per review. Several reviews of a
    product by the same user are one interaction, of the earliest time; undated only where none is dated. Rows without a
    user or a product are left out. target: the columns user_code, product_code, timestamp, in the order of user, time
    and product. The ids of the codes are in `target`_user (user_id, user_code) and `target`_product (product_id,
    product_code), which name some outside of the core too; codes are in the order of the ids. The three are temporary
    tables, replaced where they exist. A round removes products with fewer than k users, then users with fewer than k
    products.

    The fixed point does not depend on the order of rows or rounds. Raises ValueError for a k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    try:
        _number(connection, source, target, k)
        rounds = _remove_scarce(connection, k) if k > 1 else 0
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE {target} AS
            SELECT user_code, product_code, timestamp FROM k_core_pair ORDER BY user_code, timestamp, product_code
            """
        )
    finally:
        for table in _WORKING:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    return rounds


def with_ids(target: str) -> str:
    """Return a SELECT of the core that `create_k_core` made as user_id, product_id, timestamp."""
    return f"""
        SELECT user_id, product_id, timestamp
        FROM {target} JOIN {target}_user USING (user_code) JOIN {target}_product USING (product_code)
    """


def drop_k_core(connection: duckdb.DuckDBPyConnection, target: str) -> None:
    """Drop the three tables that `create_k_core` made."""
    for table in (target, *(f"{target}_{side}" for side in _SIDES)):
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def _number(connection: duckdb.DuckDBPyConnection, source: str, target: str, k: int) -> None:
    """Create `target`_user, `target`_product and `k_core_pair`, each interaction of theirs once."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target}_user AS
        SELECT user_id, (row_number() OVER (ORDER BY user_id))::UINTEGER AS user_code
        FROM (
            SELECT user_id FROM {source} WHERE user_id <> '' AND product_id <> ''
            GROUP BY user_id HAVING count(*) >= {k}
        )
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target}_product AS
        SELECT product_id, (row_number() OVER (ORDER BY product_id))::UINTEGER AS product_code
        FROM (
            SELECT product_id FROM {source} SEMI JOIN {target}_user USING (user_id)
            WHERE product_id <> '' GROUP BY product_id HAVING count(*) >= {k}
        )
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE k_core_pair AS
        SELECT user_code, product_code, min(timestamp) AS timestamp
        FROM {source} JOIN {target}_user USING (user_id) JOIN {target}_product USING (product_id)
        GROUP BY user_code, product_code
        """
    )


def _remove_scarce(connection: duckdb.DuckDBPyConnection, k: int) -> int:
    """Remove scarce products and users by turns until none is left; return in how many rounds some were removed.

    All are counted once; from then on only those of whom the turn before removed an interaction: no one else can have
    become scarce.
    """
    rounds = 0
    counted = "k_core_pair"
    while True:
        removed = 0
        for side, other in (_SIDES, _SIDES[::-1]):
            connection.execute(
                f"""
                CREATE OR REPLACE TEMP TABLE k_core_scarce AS
                SELECT {side}_code FROM {counted.format(side)} GROUP BY {side}_code HAVING count(*) < {k}
                """
            )
            scarce = f"WHERE {side}_code IN (SELECT {side}_code FROM k_core_scarce)"
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE k_core_touched AS "
                f"SELECT DISTINCT {other}_code FROM k_core_pair {scarce}"
            )
            ((count,),) = connection.execute(f"DELETE FROM k_core_pair {scarce}").fetchall()
            removed += count
        if not removed:
            return rounds
        rounds += 1
        counted = "k_core_pair SEMI JOIN k_core_touched USING ({}_code)"
