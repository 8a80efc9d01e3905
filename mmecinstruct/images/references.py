"""Images that nobody reads: their URLs are taken as they are, and nothing is asked for.

What can be told from a URL alone is: that it is a web address, that it is known to show no product, that more products
name it than share one image.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa

from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.urls import full_size_url, is_placeholder, is_video_still
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import IMAGES

if TYPE_CHECKING:
    import duckdb

STAGE = "references"
MAX_URL_CHARACTERS = 4096
_BATCH_ROWS = 50_000
_JUDGED = pa.schema([IMAGES.field(name) for name in ("image_url", "status", "reason", "detail")])


def reference_images(
    connection: duckdb.DuckDBPyConnection, settings: ImageSettings, taken_down: Collection[str] = ()
) -> tuple[pa.Table, list[Rejection]]:
    """Return (IMAGES in order of URL, with no id and no measurement, rejections).

    Views: products with cluster_id and image_urls, reviews with image_urls. taken_down: full-size URLs that no build
    may hold. Of the settings it reads `placeholders` and `max_products_per_image`. Reasons: taken_down, data_url,
    no_web_address (a path, or no address at all), unknown_scheme, credentials_in_url, placeholder (also a still of a
    video, and a URL of more than max_products_per_image clusters of products).
    """
    reader = connection.sql(
        """
        SELECT image_url, count(DISTINCT cluster_id) AS clusters
        FROM (
            SELECT unnest(image_urls) AS image_url, cluster_id FROM products
            UNION ALL SELECT unnest(image_urls), NULL FROM reviews
        )
        WHERE image_url IS NOT NULL GROUP BY image_url ORDER BY image_url
        """
    ).to_arrow_reader(_BATCH_ROWS)
    unwanted, known = frozenset(taken_down), frozenset(settings.placeholders)
    tables, rejections = [_JUDGED.empty_table()], []
    for batch in reader:
        rows = []
        for url, clusters in zip(batch["image_url"].to_pylist(), batch["clusters"].to_pylist(), strict=True):
            found: tuple[str, str] | None
            if unwanted and full_size_url(url) in unwanted:
                found = "taken_down", "the URL is on the takedown list"
            else:
                found = refusal_of_url(url, known) or _refusal_of_sharing(clusters, settings)
            reason, detail = found or ("", "")
            rows.append((url, "rejected" if found else "ok", reason, detail))
            if found:
                rejections.append(Rejection(STAGE, reason, detail, url[:MAX_URL_CHARACTERS], ""))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(_JUDGED)
        tables.append(pa.table(dict(zip(_JUDGED.names, columns, strict=True)), schema=_JUDGED))
    judged = pa.concat_tables(tables)
    columns = [
        judged[field.name] if field.name in _JUDGED.names else pa.nulls(judged.num_rows, field.type)
        for field in IMAGES
    ]
    return pa.Table.from_arrays(columns, schema=IMAGES), rejections


def refusal_of_url(url: str, placeholders: Collection[str] = ()) -> tuple[str, str] | None:
    """Return (reason, detail) why a URL cannot stand for an image, None where it can."""
    if url.startswith("data:"):
        return "data_url", "data URLs are refused"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return "no_web_address", f"not a web address: {error}"
    if parts.scheme.lower() not in ("http", "https"):
        if "://" in url[:12]:
            return "unknown_scheme", f"{parts.scheme} addresses are nothing that others could follow"
        return "no_web_address", "a path: where images are not read, only a web address can stand for one"
    if not host or len(url) > MAX_URL_CHARACTERS or any(sign.isspace() or sign < " " for sign in url):
        return "no_web_address", "it has no host, blanks inside or too many characters"
    if "@" in parts.netloc:
        return "credentials_in_url", "a user name or password in a URL is not to be published"
    if url in placeholders or is_placeholder(full_size_url(url)):
        return "placeholder", "a known image that shows no product"
    if is_video_still(url):
        return "placeholder", "a still of a video"
    return None


def _refusal_of_sharing(clusters: int, settings: ImageSettings) -> tuple[str, str] | None:
    most = settings.max_products_per_image
    if clusters > most:
        return "placeholder", f"the same URL under {clusters} products, at most {most}"
    return None
