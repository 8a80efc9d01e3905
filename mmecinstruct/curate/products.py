"""Curate products: one row per id, fine category and images joined from other publishers, clusters."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.duckdb import query
from mmecinstruct.duplicates.clusters import IDENTIFIER_FAMILIES, connected_components, same_item_edges
from mmecinstruct.duplicates.titles import near_texts
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, PRODUCTS

if TYPE_CHECKING:
    import duckdb

STAGE = "curate_products"


def curate_products(
    connection: duckdb.DuckDBPyConnection, similarity: float, taken_down: Collection[str] = ()
) -> tuple[pa.Table, list[Rejection]]:
    """Curate products. The first row of an id is kept.

    A product without a category gets that of its label, else that of the same item in another source. Images of
    `product_images` come after the product's own.

    Args:
        connection: A connection with the views products, category_labels and product_images, each with file_index and
            row_index.
        similarity: The similarity of titles, 0 to 1, from which products share a cluster. Images are not read yet.
        taken_down: The ids of products that no build may hold.

    Returns:
        (Curated products in order of id, rejections).
    """
    columns = ", ".join(PRODUCTS.names)
    content = ", ".join(f"{name}::VARCHAR" for name in PRODUCTS.names if name != "origin")
    unwanted = sorted(taken_down)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE numbered AS
        SELECT {columns}, file_index, row_index,
            row_number() OVER (PARTITION BY product_id ORDER BY file_index, row_index) AS occurrence,
            md5(concat_ws(chr(31), {content})) AS content
        FROM products WHERE NOT list_contains($unwanted, product_id)
        """,
        {"unwanted": unwanted},
    )
    rejections = [
        Rejection(
            STAGE,
            "taken_down",
            "the product is on the takedown list",
            origin or "",
            product_id,
            product_ids=(product_id,),
        )
        for product_id, origin in connection.execute(
            "SELECT product_id, origin FROM products WHERE list_contains($unwanted, product_id) "
            "ORDER BY product_id, file_index, row_index",
            {"unwanted": unwanted},
        ).fetchall()
    ]
    rejections += [
        Rejection(
            STAGE,
            "duplicate_id",
            f"the same row as {first}"
            if same
            else f"another row of this id, {first}, came before; the first one stays",
            origin or "",
            product_id,
            product_ids=(product_id,),
        )
        for product_id, same, origin, first in connection.execute(
            """
            SELECT later.product_id, later.content = earlier.content, later.origin, earlier.origin
            FROM numbered later JOIN numbered earlier
                ON earlier.product_id = later.product_id AND earlier.occurrence = 1
            WHERE later.occurrence > 1 ORDER BY later.product_id, later.occurrence
            """
        ).fetchall()
    ]
    titles = connection.sql(
        "SELECT product_id, title FROM numbered WHERE occurrence = 1 ORDER BY product_id"
    ).to_arrow_table()
    ids = titles.column("product_id").to_pylist()
    pairs, _ = near_texts([title or "" for title in titles.column("title").to_pylist()], similarity)
    edges = [(ids[one], ids[other]) for one, other in pairs.tolist()]
    edges += same_item_edges(ids, IDENTIFIER_FAMILIES)
    components = connected_components(ids, edges)
    clusters = pa.table(
        {"product_id": list(components), "cluster_id": list(components.values())},
        schema=pa.schema([("product_id", pa.string()), ("cluster_id", pa.string())]),
    )
    connection.register("clusters", clusters)
    families = " ".join(
        f"WHEN '{prefix}' THEN '{family}'" for prefix, family in sorted(IDENTIFIER_FAMILIES.items())
    )
    table = query(
        connection,
        f"""
        WITH kept AS (
            SELECT *, CASE split_part(product_id, ':', 1) {families} END AS family,
                substr(product_id, strpos(product_id, ':') + 1) AS item
            FROM numbered WHERE occurrence = 1
        ), categories AS (
            SELECT family, item, arg_min(category_path, product_id) AS category_path
            FROM kept WHERE family IS NOT NULL AND len(category_path) > 0 GROUP BY family, item
        ), labels AS (
            SELECT product_id, min(fine_category) AS fine_category,
                min(category_path) FILTER (WHERE len(category_path) > 0) AS category_path
            FROM category_labels GROUP BY product_id
        ), images AS (
            SELECT product_id, list(image_url ORDER BY image_url) AS image_urls
            FROM (SELECT DISTINCT product_id, image_url FROM product_images) GROUP BY product_id
        )
        SELECT kept.* REPLACE (
                coalesce(nullif(kept.category, ''), labels.category_path[1], categories.category_path[1], '')
                    AS category,
                CASE WHEN len(kept.category_path) > 0 THEN kept.category_path
                    ELSE coalesce(labels.category_path, categories.category_path, []) END AS category_path,
                list_concat(coalesce(kept.image_urls, []),
                    list_filter(coalesce(images.image_urls, []),
                        lambda url: NOT list_contains(coalesce(kept.image_urls, []), url))) AS image_urls
            ),
            labels.fine_category AS fine_category,
            clusters.cluster_id AS cluster_id
        FROM kept JOIN clusters USING (product_id)
            LEFT JOIN categories USING (family, item)
            LEFT JOIN labels USING (product_id)
            LEFT JOIN images USING (product_id)
        ORDER BY product_id
        """,
        CURATED_PRODUCTS,
    )
    connection.unregister("clusters")
    return table, rejections
