"""A file in the format of ESCI-S: pages of ESCI's products as they were scraped, with category list and image.

Nearly every field may be missing: a page whose layout the scraper did not know left it empty.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop.vocabulary import scatter
from tests.mmecinstruct.publisher_files.goods import DOMAINS, KINDS, plural
from tests.mmecinstruct.publisher_files.packed import open_text

ESCI_PRODUCTS = "esci/shopping_queries_dataset_products.parquet"
ESCI_S = "esci_s/esci.json.zst"
_IMAGES = "https://m.media-amazon.com/images/I/"
_CODES = (".__AC_SY300_SX300_QL70_FMwebp_", "._AC_SX425_", "._AC_UL320_", "")


def esci_products(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (product_id, title, locale) of the ESCI products below a folder."""
    import pyarrow.parquet as pq

    columns = ["product_id", "product_title", "product_locale"]
    with pq.ParquetFile(folder / ESCI_PRODUCTS) as file:
        for batch in file.iter_batches(columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def write_pages(folder: Path, products: Iterable[tuple[str, str, str]], seed: int) -> Counter[str]:
    """Write esci_s/esci.json.zst for eleven of twelve products, as (id, title, locale); return its counts.

    Counts: `lines`, `images` (pages with an image of the product), and by reason the records to be rejected.
    """
    counts: Counter[str] = Counter()
    with open_text(folder / ESCI_S) as file:
        for asin, title, locale in products:
            chance = hash_draw(seed, "miniature page", locale, asin)
            if chance % 12 == 0:
                continue
            row, reason = _page(asin, title, locale, chance // 12)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            counts["lines"] += 1
            if reason:
                counts[reason] += 1
            elif row.get("image"):
                counts["images"] += 1
        file.write('{"type": "product", "locale": "us", "asin": "B0\n')
        counts.update(("lines", "broken_json"))
    return counts


def _page(asin: str, title: str, locale: str, chance: int) -> tuple[dict[str, Any], str]:
    domain = list(DOMAINS)[chance % len(DOMAINS)]
    top, middles = DOMAINS[domain]
    middle = list(middles)[chance // 7 % len(middles)]
    noun = middles[middle][chance // 21 % 2]
    image = f"{_IMAGES}{scatter(chance, 11, 62)}{_CODES[chance // 42 % len(_CODES)]}.jpg"
    row: dict[str, Any] = {
        "type": "product",
        "locale": locale,
        "asin": asin,
        "title": html.unescape(title or ""),
        "stars": f"{1 + chance % 41 / 10:.1f} out of 5 stars",
        "ratings": f"{1 + chance % 40_000:,} ratings",
        "category": [top, middle, f"{KINDS[chance // 168 % len(KINDS)]} {plural(noun)}"],
        "attrs": {"Brand": "", "Color": "Black"},
        "bullets": [f"For {top.lower()}"],
        "description": "" if chance % 2 else f"A {noun.lower()}.",
        "info": {"ASIN": asin, "Best Sellers Rank": f"#{1 + chance % 900_000:,} in {top}"},
        "reviews": [
            {
                "stars": "3.0 out of 5 stars",
                "title": "It is okay",
                "date": "Reviewed in the United States on September 22, 2022",
                "text": "It does what it says.",
            }
        ],
        "price": "" if chance % 3 == 0 else f"${4 + chance % 20_000 / 100:,.2f}",
        "formats": {},
        "template": "kitchen",
        "image": image,
    }
    reason = ""
    if chance % 17 == 1:
        row |= {"type": "book", "subtitle": "", "author": "", "review": ""}
        del row["category"]
    if chance % 23 == 2:
        row["category"] = []
    if chance % 29 == 3:
        del row["image"]
    elif chance % 31 == 4:
        row["image"] = ""
    if chance % 211 == 5:
        del row["asin"]
        reason = "missing_id"
    for name in ("stars", "ratings", "attrs", "info", "formats"):
        if hash_draw(chance, "miniature gap", name) % 13 == 0:
            row.pop(name)
    return row, reason
