"""SQID: image URLs of ESCI products, a table of product_id and image_url (CSV, or Parquet as on the Hub)."""

from __future__ import annotations

from collections.abc import Iterator

from mmecinstruct.images.urls import full_size_url, is_placeholder, web_address
from mmecinstruct.sources import esci
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.rows import Row
from mmecinstruct.sources.readers.tabular import read_rows

_COLUMNS = ("product_id", "image_url")


def parse_image_urls(file: RawFile) -> Iterator[ParsedBatch]:
    """Yield the image URLs of a file.

    Reasons: missing_id, missing_url, placeholder_url.
    """
    wanted = {f"a SQID file has {name}": name for name in _COLUMNS}
    rows = read_rows(file.path, wanted, part=file.part)
    return parse_records(rows, parse_image_url, ("product_images",), file.origin)


def parse_image_url(row: Row, _number: int, rows: Rows) -> RowError | None:
    """Append an image; reasons: missing_id, missing_url, placeholder_url."""
    product = text_value(row.get("product_id"))
    if not product:
        return RowError("missing_id", "product_id is empty")
    record_id = f"{esci.PREFIX}:{product}"
    url = full_size_url(web_address(row.get("image_url")))
    if not url:
        return RowError("missing_url", f"image_url is {shown(row.get('image_url'))}", record_id)
    if is_placeholder(url):
        return RowError("placeholder_url", url, record_id)
    rows["product_images"].append((record_id, url))
    return None
