"""Count the unrelated products that share one image: many of them make it a placeholder.

Products are related where they share a group, the category or a word of their titles. Of all groups, categories and
words the one that most of an image's products have is taken for what the image shows, and its products count as one.
So neither five sizes of a shirt nor a hundred gift cards make their photograph a placeholder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mmecinstruct.text.variant_words import COLOURS, MATERIALS, SIZES

if TYPE_CHECKING:
    import duckdb

# Shorter words join titles of anything, as do those of more than so many products and of so large a share of all.
MIN_LETTERS = 4
FREQUENT_PRODUCTS, FREQUENT_SHARE = 20, 0.1
_JOINING = {"with", "from", "ohne", "avec", "pour", "sans", "para"}


def create_sharing(connection: duckdb.DuckDBPyConnection, uses: str, most: int) -> None:
    """Create the table `sharing` (image, unrelated) of the images that more than `most` clusters of products use.

    Near-duplicates count once.

    Args:
        connection: A connection with the view products (product_id, cluster_id, title, category, category_path,
            group_id).
        uses: A SELECT of image and product_id.
        most: Images of at most so many clusters are left out.
    """
    common = sorted(COLOURS | SIZES | MATERIALS | _JOINING)
    connection.register("common_words", pa.table({"word": pa.array(common, pa.string())}))
    words = f"list_distinct(regexp_extract_all(lower(coalesce(title, '')), '\\p{{L}}{{{MIN_LETTERS},}}'))"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE sharing AS
        WITH used AS (
            SELECT DISTINCT image, product_id FROM ({uses})
        ), counted AS (
            SELECT image, count(DISTINCT cluster_id) AS clusters
            FROM used JOIN products USING (product_id) GROUP BY image HAVING clusters > {most}
        ), shown AS (
            SELECT image, cluster_id, 'group ' || group_id AS own_group,
                   'category ' || coalesce(nullif(array_to_string(category_path, chr(31)), ''), nullif(category, ''))
                       AS own_category,
                   {words} AS words
            FROM used JOIN products USING (product_id) SEMI JOIN counted USING (image)
        ), named AS (
            SELECT image, cluster_id, unnest(words) AS word FROM shown
        ), frequent AS (
            SELECT word FROM (SELECT unnest({words}) AS word FROM products) SEMI JOIN named USING (word)
            GROUP BY word
            HAVING count(*) > greatest({FREQUENT_PRODUCTS}, {FREQUENT_SHARE} * (SELECT count(*) FROM products))
        ), traits AS (
            SELECT image, cluster_id, own_group AS trait FROM shown WHERE own_group IS NOT NULL
            UNION ALL SELECT image, cluster_id, own_category FROM shown WHERE own_category IS NOT NULL
            UNION ALL SELECT image, cluster_id, word
            FROM named ANTI JOIN common_words USING (word) ANTI JOIN frequent USING (word)
        ), alike AS (
            SELECT image, max(clusters) AS clusters
            FROM (SELECT image, trait, count(DISTINCT cluster_id) AS clusters FROM traits GROUP BY ALL) GROUP BY image
        )
        SELECT image, counted.clusters - coalesce(alike.clusters, 1) + 1 AS unrelated
        FROM counted LEFT JOIN alike USING (image)
        """
    )
    connection.unregister("common_words")
