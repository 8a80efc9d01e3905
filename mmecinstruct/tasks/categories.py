"""Fine-grained categories of products and their relations to each other.

A product's fine category is the label that someone gave it (`fine_category`, MAVE), else the last name of
its category path. Names are the same whatever their case. A labelled name is one category wherever its
products are filed. A name that only occurs in paths is one category per path: where several paths end in
it ("Pants" for men and for women) the text is the whole path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def create_category_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `product_category` and `fine_category` from the view `products`.

    product_category (products with a fine category): product_id, top (top-level category, may be null),
    category_key, path_key (its whole path, lower case, each name ended by chr(31)), path_names (lower
    case).
    fine_category: category_key, category_text (its most frequent spelling), top_key (its products' most
    frequent top-level category, lower case), parent_key (the path above it; of a labelled category the
    top level), path_key (null for labelled ones).
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE product_category AS
        WITH named AS (
            SELECT product_id, category AS top, coalesce(category_path, []) AS path,
                   trim(coalesce(fine_category, '')) <> '' AS is_labelled,
                   trim(CASE WHEN is_labelled THEN fine_category ELSE path[-1] END) AS name
            FROM products
        ), placed AS (
            SELECT *, list_transform(path, lambda part: lower(part)) AS path_names,
                   list_reduce(path_names, lambda whole, part: whole || part || chr(31), '') AS path_key,
                   is_labelled OR lower(name) IN (SELECT lower(name) FROM named WHERE is_labelled) AS is_flat
            FROM named WHERE name <> ''
        ), ambiguous AS (
            SELECT lower(name) AS name FROM placed WHERE NOT is_flat
            GROUP BY ALL HAVING count(DISTINCT path_key) > 1
        ), decided AS (
            SELECT *, NOT is_flat AND lower(name) IN (SELECT name FROM ambiguous) AS needs_path FROM placed
        )
        SELECT product_id, top, path_key, path_names, is_flat,
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
                   min(list_reduce(path_names[:-2], lambda whole, part: whole || part || chr(31), ''))
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
