"""Give the rejections of all stages an origin, and the ids that a person can look up.

`parse` knows the line of a record, the later stages know ids. The curated tables have both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import ROW_GROUP_ROWS
from mmecinstruct.schemas.tables import CURATED_TABLES, PUBLISHED_REJECTIONS, REJECTIONS
from mmecinstruct.stages.files import CuratedTables
from mmecinstruct.stages.index import USERS

if TYPE_CHECKING:
    import duckdb

# Stages whose rejections have the image's URL where others have the origin.
IMAGE_STAGES = ("images", "filter", "references")
# Products of an image that a rejection names.
MOST_PRODUCTS = 5

# One row a user: many rejections of one user with many reviews would be the product of both.
_FIRST_OF_USERS = """(
    SELECT user_id, min(origin) AS origin FROM reviews
    WHERE user_id IN (SELECT user_id FROM lacking WHERE one IS NULL) GROUP BY user_id
)"""
# How the origin of a rejection is found, the best way first: (tables, their condition).
_WAYS = (
    ("reviews", "t.review_id = l.key"),
    ("questions", "t.question_id = l.key"),
    ("judgements", "t.query_id = l.query_id AND t.product_id = l.one"),
    ("relations", "t.product_a = l.one AND t.product_b = l.two"),
    ("relations", "t.product_a = l.two AND t.product_b = l.one"),
    ("products", "t.product_id = l.key"),
    ("products", "t.product_id = l.one"),
    (_FIRST_OF_USERS, "t.user_id = l.user_id AND l.one IS NULL"),
)


@contextmanager
def traced_rejections(
    paths: Sequence[Path],
    tables: CuratedTables | None,
    users: Sequence[Path],
    scratch: Path,
    budget: Budget,
) -> Iterator[Iterator[pa.Table]]:
    """Open the rejections of all stages, in order, as tables of PUBLISHED_REJECTIONS.

    Args:
        paths: Files of REJECTIONS.
        tables: The curated tables; None where there is none yet.
        users: Files of USERS, the numbers of users in the dataset.
        scratch: A folder that is not there; queries spill beside it.
        budget: The resources of the queries.
    """
    with working_connection(scratch, budget) as connection:
        for name, schema in CURATED_TABLES.items():
            create_view(connection, name, getattr(tables, name).paths if tables else (), schema)
        create_view(connection, "users", users, USERS)
        _create_rejections(connection, paths)
        _create_found(connection)
        reader = connection.sql(
            """
            SELECT stage, reason, detail, coalesce(nullif(found.origin, ''), r.origin, '') AS origin, record_id, task,
                coalesce(found.product_ids, r.product_ids) AS product_ids, query_id, users.number AS user,
                coalesce(r.image_url, found.image_url) AS image_url
            FROM rejections r LEFT JOIN found USING (file_index, row_index) LEFT JOIN users USING (user_id)
            ORDER BY file_index, row_index
            """
        ).to_arrow_reader(ROW_GROUP_ROWS)
        yield (
            pa.Table.from_batches([batch]).select(PUBLISHED_REJECTIONS.names).cast(PUBLISHED_REJECTIONS)
            for batch in reader
        )


def _create_rejections(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Create the view `rejections`. Files of an older version lack columns."""
    empty = REJECTIONS.append(pa.field("file_index", pa.int64())).append(pa.field("row_index", pa.int64()))
    connection.register("no_rejections", empty.empty_table())
    if not paths:
        connection.execute("CREATE VIEW rejections AS FROM no_rejections")
        return
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    connection.execute(
        f"""
        CREATE VIEW rejections AS FROM no_rejections UNION ALL BY NAME
        SELECT * EXCLUDE (filename, file_row_number), list_position([{files}], filename) AS file_index,
            file_row_number AS row_index
        FROM read_parquet([{files}], filename = true, file_row_number = true, union_by_name = true,
            hive_partitioning = false)
        """
    )


def _create_found(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `found`: of each rejection without an origin, where its record was read from."""
    stages = ", ".join(f"'{name}'" for name in IMAGE_STAGES)
    connection.execute(
        f"""
        CREATE TEMP TABLE lacking AS
        SELECT file_index, row_index, coalesce(source_id, record_id) AS key, query_id, product_ids[1] AS one,
            product_ids[2] AS two, user_id,
            CASE WHEN stage IN ({stages}) THEN coalesce(image_url, origin) END AS image_url
        FROM rejections WHERE coalesce(origin, '') = '' OR stage IN ({stages})
        """
    )
    ways = " UNION ALL ".join(
        f"""
        SELECT l.file_index, l.row_index, {rank} AS rank, min(t.origin) AS origin, NULL::VARCHAR[] AS product_ids,
            NULL::VARCHAR AS image_url
        FROM lacking l JOIN {table} t ON {condition} WHERE l.image_url IS NULL
        GROUP BY l.file_index, l.row_index
        """
        for rank, (table, condition) in enumerate(_WAYS)
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE found AS
        WITH named AS (
            SELECT image_url, product_id, origin
            FROM (
                SELECT unnest(image_urls) AS image_url, product_id, origin FROM products
                UNION ALL SELECT unnest(image_urls), product_id, origin FROM reviews
            ) SEMI JOIN lacking USING (image_url)
        ), owners AS (
            SELECT image_url, arg_min(origin, product_id || ' ' || coalesce(origin, '')) AS origin,
                list_sort(list(DISTINCT product_id))[:{MOST_PRODUCTS}] AS product_ids
            FROM named GROUP BY image_url
        ), all_ways AS (
            {ways} UNION ALL
            SELECT file_index, row_index, 0, owners.origin, owners.product_ids, image_url
            FROM lacking LEFT JOIN owners USING (image_url) WHERE image_url IS NOT NULL
        )
        SELECT file_index, row_index, arg_min(origin, rank) FILTER (WHERE origin IS NOT NULL) AS origin,
            any_value(product_ids) AS product_ids, any_value(image_url) AS image_url
        FROM all_ways GROUP BY file_index, row_index
        """
    )
