"""Curate products: one row per id, fine category and images joined from other publishers, clusters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.core.duckdb import query
from mmecinstruct.duplicates.clusters import IDENTIFIER_FAMILIES, connected_components, same_item_edges
from mmecinstruct.duplicates.titles import near_texts
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, PRODUCTS
from mmecinstruct.text.names import category_key

if TYPE_CHECKING:
    import duckdb

STAGE = "curate_products"


def curate_products(
    connection: duckdb.DuckDBPyConnection, similarity: float, taken_down: Collection[str] = ()
) -> tuple[pa.Table, list[Rejection], dict[str, str]]:
    """Curate products. The first row of an id is kept.

    A product without a category gets that of its label, else that of the same item in another source. Further paths of
    labels become `other_category_paths`. Names of categories that differ in case alone get their most frequent
    spelling. Images of `product_images` come after the product's own.

    Args:
        connection: A connection with the views products, category_labels and product_images, each with file_index and
            row_index.
        similarity: The similarity of titles, 0 to 1, from which products share a cluster. Images are not read yet.
        taken_down: The ids of products that no build may hold.

    Returns:
        (Curated products in order of id, rejections, the spellings that were replaced by others).
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
    spellings = _spellings(connection)
    spelled = _spelled_sql(spellings)
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
                list(DISTINCT category_path ORDER BY category_path)
                    FILTER (WHERE len(category_path) > 0) AS label_paths
            FROM category_labels GROUP BY product_id
        ), images AS (
            SELECT product_id, list(image_url ORDER BY image_url) AS image_urls
            FROM (SELECT DISTINCT product_id, image_url FROM product_images) GROUP BY product_id
        ), placed AS (
            SELECT product_id, list_transform(
                CASE WHEN len(kept.category_path) > 0
                    THEN list_prepend(kept.category_path, coalesce(labels.label_paths, []))
                    ELSE coalesce(labels.label_paths, [categories.category_path]) END,
                lambda path: {spelled("path")}) AS paths
            FROM kept LEFT JOIN labels USING (product_id) LEFT JOIN categories USING (family, item)
        )
        SELECT kept.* REPLACE (
                coalesce({spelled("[nullif(kept.category, '')]")}[1], paths[1][1], '') AS category,
                coalesce(paths[1], []) AS category_path,
                list_concat(coalesce(kept.image_urls, []),
                    list_filter(coalesce(images.image_urls, []),
                        lambda url: NOT list_contains(coalesce(kept.image_urls, []), url))) AS image_urls
            ),
            labels.fine_category AS fine_category,
            clusters.cluster_id AS cluster_id,
            clusters.cluster_id AS split_unit,
            list_filter(paths[2:], lambda path: path <> paths[1]) AS other_category_paths
        FROM kept JOIN clusters USING (product_id) JOIN placed USING (product_id)
            LEFT JOIN labels USING (product_id)
            LEFT JOIN images USING (product_id)
        ORDER BY product_id
        """,
        CURATED_PRODUCTS,
    )
    connection.unregister("clusters")
    return table, rejections, spellings


def _spellings(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return for each name in the categories that another spelling replaces the most frequent one."""
    names = connection.sql(
        """
        SELECT name, count(*) AS times FROM (
            SELECT unnest(category_path) AS name FROM numbered WHERE occurrence = 1
            UNION ALL SELECT category FROM numbered WHERE occurrence = 1 AND len(category_path) = 0
            UNION ALL SELECT unnest(category_path) FROM category_labels
        ) WHERE name <> '' GROUP BY name ORDER BY times DESC, name
        """
    ).fetchall()
    first: dict[str, str] = {}
    return {name: kept for name, _ in names if (kept := first.setdefault(category_key(name), name)) != name}


def _spelled_sql(spellings: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that returns the expression of a list of names as they are spelled."""
    if not spellings:
        return lambda names: names
    pairs = ", ".join(f"{_quoted(name)}: {_quoted(kept)}" for name, kept in sorted(spellings.items()))
    return lambda names: (
        f"list_transform({names}, lambda name: coalesce(map_extract(MAP {{{pairs}}}, name)[1], name))"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
