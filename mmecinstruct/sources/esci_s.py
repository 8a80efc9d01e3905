"""ESCI-S: crawled pages of ESCI's products. Images and category are read.

A line adds rows to the product of the same id in ESCI's own files; it never makes a product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mmecinstruct.images.urls import image_urls
from mmecinstruct.sources import esci
from mmecinstruct.sources.readers.batches import ParsedBatch, RawFile, RowError, Rows, parse_records, shown
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines
from mmecinstruct.text.names import clean_category_path


class PageLine(msgspec.Struct, gc=False):
    """The fields of a line that are read; texts and reviews are skipped while decoding."""

    asin: Any = None
    locale: Any = None
    category: Any = None
    image: Any = None


def parse_pages(file: RawFile, locale: str) -> Iterator[ParsedBatch]:
    """Yield the images and categories of a file.

    Reasons: missing_id, other_locale, nothing_usable (neither image nor category).

    Args:
        file: The file, or a part of it.
        locale: The locale to keep; a page without a locale is kept too.
    """

    def parse(line: PageLine, _number: int, rows: Rows) -> RowError | None:
        asin = text_value(line.asin)
        if not asin:
            return RowError("missing_id", f"asin is {shown(line.asin)}")
        record_id = f"{esci.PREFIX}:{asin}"
        page_locale = text_value(line.locale)
        if page_locale and page_locale != locale:
            return RowError(
                "other_locale", f"locale is {shown(page_locale)}, the recipe wants {shown(locale)}", record_id
            )
        urls = image_urls(line.image)
        path = clean_category_path(line.category) if isinstance(line.category, list) else []
        if not urls and not path:
            return RowError("nothing_usable", "neither an image nor a category", record_id)
        rows["product_images"] += [(record_id, url) for url in urls]
        if path:
            rows["category_labels"].append((record_id, None, path))
        return None

    lines = read_json_lines(file.path, PageLine, part=file.part)
    return parse_records(lines, parse, ("product_images", "category_labels"), file.origin)
