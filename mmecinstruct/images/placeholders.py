"""Placeholder pictures: the same bytes under more products than a real picture is used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.parquet import query
from mmecinstruct.rejections import Rejection
from mmecinstruct.tables import IMAGES

if TYPE_CHECKING:
    import duckdb

STAGE = "placeholders"


def reject_placeholders(
    connection: duckdb.DuckDBPyConnection, max_products: int
) -> tuple[pa.Table, list[Rejection]]:
    """Return the images with placeholders rejected, and the rejections. Views: images, products.

    What counts is the number of near-duplicate clusters of products, so that variants of one product may share
    their picture.
    """
    table = query(
        connection,
        f"""
        WITH uses AS (
            SELECT DISTINCT image_id, cluster_id
            FROM (SELECT cluster_id, unnest(image_urls) AS image_url FROM products) JOIN images USING (image_url)
            WHERE status = 'ok'
        ), placeholders AS (
            SELECT image_id, count(*) AS products FROM uses GROUP BY image_id HAVING count(*) > {max_products}
        )
        SELECT images.* REPLACE (
            CASE WHEN products IS NULL THEN status ELSE 'rejected' END AS status,
            CASE WHEN products IS NULL THEN reason ELSE 'placeholder' END AS reason,
            CASE WHEN products IS NULL THEN detail
                ELSE 'the same picture under ' || products || ' products, at most {max_products}' END AS detail
        )
        FROM images LEFT JOIN placeholders ON images.image_id = placeholders.image_id AND status = 'ok'
        ORDER BY image_url
        """,
        IMAGES,
    )
    rejections = [
        Rejection(STAGE, row["reason"], row["detail"], row["image_url"], row["image_id"])
        for row in table.to_pylist()
        if row["reason"] == "placeholder"
    ]
    return table, rejections
