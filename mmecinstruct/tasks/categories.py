"""Fine-grained categories of products and their relations to each other.

A product's fine category is the label that someone gave it (`fine_category`, MAVE), else the last name of
its category path. Names are the same whatever their case. A labelled name is one category wherever its
products are filed. A name that only occurs in paths is one category per path: where several paths end in
it ("Pants" for men and for women) the text is the whole path.

A product may lie in several categories. One of them is its own: the one that it is sorted by and asked for.
`place_products` chooses it, before any task reads the products.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from mmecinstruct.curate.settings import WhichCategory
from mmecinstruct.text.names import same_categories

if TYPE_CHECKING:
    import duckdb


def chosen_paths(paths: str, which: WhichCategory, outside: str) -> str:
    """Return a SELECT of product_id, path: the chosen one of each product's category paths.

    A path below an out-of-domain category goes before all others, the smallest of several.

    Args:
        paths: A SELECT of product_id and paths, a list of all paths of the product in order.
        which: Which path is chosen; of equal ones the first.
        outside: A list of top-level categories that are out of domain.
    """
    is_outside = f"list_contains({outside}, path[1])"
    wanted = {"first": "place", "deepest": "-len(path)", "rarest": "products"}[which]
    return f"""
        SELECT product_id, path FROM (
            SELECT *, count(*) OVER (PARTITION BY path) AS products FROM (
                SELECT product_id, unnest(paths) AS path, generate_subscripts(paths, 1) AS place FROM ({paths})
            )
        )
        QUALIFY row_number() OVER (
            PARTITION BY product_id
            ORDER BY NOT {is_outside}, CASE WHEN {is_outside} THEN path END, {wanted}, place
        ) = 1
    """


def place_products(
    connection: duckdb.DuckDBPyConnection, which: WhichCategory, ood_categories: Collection[str]
) -> None:
    """Give products of several category paths the one that counts as `category` and `category_path`.

    Replaces the view `products` where there are such products. The paths that were not chosen become
    `other_category_paths`.

    Args:
        connection: A connection with the view products.
        which: Which path is chosen.
        ood_categories: Out-of-domain categories, in any spelling; a path below one goes before all others.
    """
    several = "len(other_category_paths) > 0"
    tops = connection.sql(
        f"""
        SELECT category FROM products WHERE {several}
        UNION SELECT path[1] FROM (SELECT unnest(other_category_paths) AS path FROM products WHERE {several})
        """
    ).fetchall()
    if not tops:
        return
    outside = sorted(same_categories(ood_categories, [name for (name,) in tops]))
    # Of the rarest category all products are counted, else only those that have a choice.
    paths = f"""
        SELECT product_id, list_prepend(category_path, coalesce(other_category_paths, [])) AS paths
        FROM products WHERE len(category_path) > 0 {"" if which == "rarest" else f"AND {several}"}
    """
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in outside)
    chosen = chosen_paths(paths, which, f"[{listed}]::VARCHAR[]")
    connection.execute(f"CREATE TEMP TABLE chosen_path AS {chosen}")
    connection.execute("ALTER VIEW products RENAME TO curated_product")
    connection.execute(
        """
        CREATE VIEW products AS
        SELECT curated_product.* REPLACE (
            CASE WHEN path IS NULL OR path = category_path THEN category ELSE path[1] END AS category,
            coalesce(path, category_path) AS category_path,
            CASE WHEN path IS NULL OR path = category_path THEN other_category_paths
                 ELSE list_prepend(category_path, list_filter(other_category_paths, lambda one: one <> path))
            END AS other_category_paths
        )
        FROM curated_product LEFT JOIN chosen_path USING (product_id)
        """
    )


def create_category_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `product_category` and `fine_category` from the view `products`.

    product_category (products with a fine category): product_id, top (top-level category, may be null),
    category_key, path_key (its whole path, lower case, each name ended by chr(31)), path_names (lower case, of all
    paths of the product), other_keys (of its other paths).
    fine_category: category_key, category_text (its most frequent spelling), top_key (its products' most
    frequent top-level category, lower case), parent_key (the path above it; of a labelled category the
    top level), path_key (null for labelled ones).
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE product_category AS
        WITH named AS (
            SELECT product_id, category AS top, coalesce(category_path, []) AS path,
                   coalesce(other_category_paths, []) AS others,
                   trim(coalesce(fine_category, '')) <> '' AS is_labelled,
                   trim(CASE WHEN is_labelled THEN fine_category ELSE path[-1] END) AS name
            FROM products
        ), placed AS (
            SELECT *, list_transform(path, lambda part: lower(part)) AS own_names,
                   list_reduce(own_names, lambda whole, part: whole || part || chr(31), '') AS path_key,
                   list_transform(others, lambda one:
                       list_reduce(list_transform(one, lambda part: lower(part)),
                                   lambda whole, part: whole || part || chr(31), '')) AS other_keys,
                   list_concat(own_names, list_transform(flatten(others), lambda part: lower(part))) AS path_names,
                   is_labelled OR lower(name) IN (SELECT lower(name) FROM named WHERE is_labelled) AS is_flat
            FROM named WHERE name <> ''
        ), ambiguous AS (
            SELECT lower(name) AS name FROM placed WHERE NOT is_flat
            GROUP BY ALL HAVING count(DISTINCT path_key) > 1
        ), decided AS (
            SELECT *, NOT is_flat AND lower(name) IN (SELECT name FROM ambiguous) AS needs_path FROM placed
        )
        SELECT product_id, top, path_key, own_names, path_names, other_keys, is_flat,
               CASE WHEN needs_path THEN path_key ELSE lower(name) END AS category_key,
               CASE WHEN needs_path THEN array_to_string(path, ' > ') ELSE name END AS category_text
        FROM decided
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE fine_category AS
        WITH texts AS (
            SELECT category_key, category_text, count(*) AS products
            FROM product_category GROUP BY ALL
        ), tops AS (
            SELECT category_key, lower(coalesce(top, '')) AS top_key, count(*) AS products
            FROM product_category GROUP BY ALL
        ), paths AS (
            SELECT category_key, bool_or(is_flat) AS flat, min(path_key) AS path_key,
                   min(list_reduce(own_names[:-2], lambda whole, part: whole || part || chr(31), ''))
                       AS above
            FROM product_category GROUP BY category_key
        )
        SELECT category_key, category_text, top_key,
               CASE WHEN flat THEN top_key ELSE above END AS parent_key,
               CASE WHEN NOT flat THEN path_key END AS path_key
        FROM paths
        JOIN (SELECT category_key, first(category_text ORDER BY products DESC, category_text) AS category_text
              FROM texts GROUP BY category_key) USING (category_key)
        JOIN (SELECT category_key, first(top_key ORDER BY products DESC, top_key) AS top_key
              FROM tops GROUP BY category_key) USING (category_key)
        """
    )


def drop_category_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables of `create_category_tables`."""
    connection.execute("DROP TABLE product_category; DROP TABLE fine_category")
