"""Images published by URL only: nothing is downloaded.

The URL alone decides: it must be a web address, must not be a known placeholder, and must not be shared by more
products than the recipe allows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.sharing import create_sharing
from mmecinstruct.images.urls import forms, full_size_url, is_placeholder, is_video_still
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import IMAGES

if TYPE_CHECKING:
    import duckdb

STAGE = "references"
MAX_URL_CHARACTERS = 4096
_BATCH_ROWS = 50_000
_FILTERED = pa.schema([IMAGES.field(name) for name in ("image_url", "status", "reason", "detail")])


def reference_images(
    connection: duckdb.DuckDBPyConnection, settings: ImageSettings, taken_down: Collection[str] = ()
) -> tuple[pa.Table, list[Rejection]]:
    """Filter the image URLs of products and reviews.

    Reasons: taken_down, data_url, no_web_address (a path, or no address at all), unknown_scheme, credentials_in_url,
    placeholder (also a still of a video, and a URL of more than max_products_per_image unrelated products, see
    `images.sharing`).

    Args:
        connection: A connection with the views products (product_id, cluster_id, title, category, category_path,
            group_id, image_urls) and reviews (image_urls).
        settings: `placeholders` and `max_products_per_image` are read.
        taken_down: Full-size URLs that no build may hold.

    Returns:
        The rows of tables.IMAGES in order of URL, without ids and measurements, and one rejection per rejected URL.
    """
    create_sharing(
        connection,
        "SELECT unnest(image_urls) AS image, product_id FROM products",
        settings.max_products_per_image,
    )
    reader = connection.sql(
        """
        SELECT image_url, coalesce(unrelated, 0) AS unrelated
        FROM (
            SELECT DISTINCT image_url FROM (
                SELECT unnest(image_urls) AS image_url FROM products
                UNION ALL SELECT unnest(image_urls) FROM reviews
            )
        ) LEFT JOIN sharing ON image = image_url
        WHERE image_url IS NOT NULL ORDER BY image_url
        """
    ).to_arrow_reader(_BATCH_ROWS)
    unwanted, known = frozenset(taken_down), frozenset(settings.placeholders)
    tables, rejections = [_FILTERED.empty_table()], []
    for batch in reader:
        rows = []
        for url, products in zip(batch["image_url"].to_pylist(), batch["unrelated"].to_pylist(), strict=True):
            found: tuple[str, str] | None
            if unwanted and not unwanted.isdisjoint(forms(url)):
                found = "taken_down", "the URL is on the takedown list"
            else:
                found = url_rejection(url, known) or _sharing_rejection(products, settings)
            reason, detail = found or ("", "")
            rows.append((url, "rejected" if found else "ok", reason, detail))
            if found:
                rejections.append(Rejection(STAGE, reason, detail, url[:MAX_URL_CHARACTERS], ""))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(_FILTERED)
        tables.append(pa.table(dict(zip(_FILTERED.names, columns, strict=True)), schema=_FILTERED))
    filtered = pa.concat_tables(tables)
    columns = [
        filtered[field.name] if field.name in _FILTERED.names else pa.nulls(filtered.num_rows, field.type)
        for field in IMAGES
    ]
    return pa.Table.from_arrays(columns, schema=IMAGES), rejections


def url_rejection(url: str, placeholders: Collection[str] = ()) -> tuple[str, str] | None:
    """Return (reason, detail) of a URL that cannot be published as an image, None for a valid one."""
    if url.startswith("data:"):
        return "data_url", "data URLs are not accepted"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # The error's text quotes the URL, which may hold a password.
        return "no_web_address", "not a web address"
    if parts.scheme.lower() not in ("http", "https"):
        if "://" in url[:12]:
            return "unknown_scheme", f"others cannot open {parts.scheme} addresses"
        return "no_web_address", "a path: where images are not read, only a web address names one"
    if (
        not host
        or len(url) > MAX_URL_CHARACTERS
        or any(character.isspace() or character < " " for character in url)
    ):
        return "no_web_address", "it has no host, contains white space or has too many characters"
    if "@" in unquote(parts.netloc):
        return "credentials_in_url", "a user name or password in a URL must not be published"
    if url in placeholders or is_placeholder(full_size_url(url)):
        return "placeholder", "a known image that shows no product"
    if is_video_still(url):
        return "placeholder", "a still of a video"
    return None


def _sharing_rejection(products: int, settings: ImageSettings) -> tuple[str, str] | None:
    most = settings.max_products_per_image
    if products > most:
        return "placeholder", f"the same URL under {products} unrelated products, at most {most}"
    return None
