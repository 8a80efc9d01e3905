"""Filter measured images by the recipe's thresholds.

No image is decoded, so a build with a changed threshold takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.core.duckdb import query
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.sharing import create_sharing
from mmecinstruct.images.urls import is_placeholder
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import IMAGES

if TYPE_CHECKING:
    import duckdb

STAGE = "filter"
_FILTERED = pa.schema([*IMAGES, pa.field("measured_status", pa.string())])


def filter_images(
    connection: duckdb.DuckDBPyConnection, settings: ImageSettings
) -> tuple[pa.Table, list[Rejection]]:
    """Reject the measured images that the recipe excludes.

    An image has one reason, the first that holds of: placeholder (a known one), animated, too_small, extreme_aspect,
    blank, placeholder (the same pixels under more than max_products_per_image unrelated products, see
    `images.sharing`).

    Args:
        connection: A connection with the views images (tables.IMAGES) and products (product_id, cluster_id,
            title, category, category_path, group_id, image_urls).
        settings: The thresholds. Settings that locating and measuring read are not read here.

    Returns:
        The images in order of URL, with status, reason and detail updated, and one rejection per newly rejected image.
    """
    connection.register("known_placeholders", _known_placeholders(connection, settings))
    create_sharing(
        connection,
        """
        SELECT pixel_id AS image, product_id
        FROM (SELECT product_id, unnest(image_urls) AS image_url FROM products) JOIN images USING (image_url)
        WHERE status = 'ok'
        """,
        settings.max_products_per_image,
    )
    shared = f"unrelated > {settings.max_products_per_image}"
    # The further images of a phone's MPO file are previews and depth, no animation.
    animated = "FALSE" if settings.allow_animated else "frames > 1 AND format <> 'MPO'"
    each_side, most = settings.min_side, settings.max_aspect
    filtered = query(
        connection,
        f"""
        WITH filtered AS (
            SELECT images.*, CASE
                WHEN status <> 'ok' THEN {{'reason': reason, 'detail': detail}}
                WHEN image_url IN (FROM known_placeholders) OR image_id IN (FROM known_placeholders)
                    OR images.pixel_id IN (FROM known_placeholders)
                    THEN {{'reason': 'placeholder', 'detail': 'a known image that shows no product'}}
                WHEN {animated} THEN {{'reason': 'animated', 'detail': frames || ' frames'}}
                WHEN least(width, height) < {each_side} THEN {{'reason': 'too_small',
                    'detail': width || 'x' || height || ', each side at least {each_side}'}}
                WHEN greatest(width, height) > {most} * least(width, height) THEN {{'reason': 'extreme_aspect',
                    'detail': width || 'x' || height || ', at most {most} to 1'}}
                WHEN pixel_deviation < {settings.min_deviation} THEN {{'reason': 'blank',
                    'detail': format('deviation {{:.2f}}, at least {settings.min_deviation}', pixel_deviation)}}
                WHEN {shared} THEN {{'reason': 'placeholder', 'detail': 'the same image under ' || unrelated
                    || ' unrelated products, at most {settings.max_products_per_image}'}}
                ELSE {{'reason': '', 'detail': ''}} END AS outcome
            FROM images LEFT JOIN sharing ON images.pixel_id = sharing.image
        )
        SELECT * EXCLUDE (outcome) REPLACE (
            CASE WHEN outcome.reason = '' THEN 'ok' ELSE 'rejected' END AS status,
            outcome.reason AS reason, outcome.detail AS detail
        ), status AS measured_status
        FROM filtered ORDER BY image_url
        """,
        _FILTERED,
    )
    rejections = [
        Rejection(STAGE, row["reason"], row["detail"], row["image_url"], row["image_id"])
        for row in filtered.select(["reason", "detail", "image_url", "image_id", "status", "measured_status"])
        .filter(pc.not_equal(filtered["status"], filtered["measured_status"]))
        .to_pylist()
    ]
    return filtered.select(IMAGES.names), rejections


def _known_placeholders(connection: duckdb.DuckDBPyConnection, settings: ImageSettings) -> pa.Table:
    """Return the recipe's placeholders and the URLs that are placeholders for every recipe."""
    urls = connection.sql("SELECT image_url FROM images WHERE status = 'ok'").to_arrow_table()["image_url"]
    known = [*settings.placeholders, *(url for url in urls.to_pylist() if is_placeholder(url))]
    return pa.table({"value": pa.array(known, pa.string())})
