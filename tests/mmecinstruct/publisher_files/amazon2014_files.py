"""Files in the format of Amazon's set of 2014: Python literals, one a line, and their reviews as JSON."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from tests.mmecinstruct.publisher_files.goods import (
    Good,
    asin_of,
    good,
    goods,
    purchases,
    review_text,
    user_of,
)
from tests.mmecinstruct.publisher_files.packed import open_text

_IMAGES = "http://ecx.images-amazon.com/images/I/"


def write_metadata(folder: Path, domain: str, count: int, seed: int) -> Counter[str]:
    """Write amazon2014/meta_<domain>.json.gz; return its lines and the expected rejections by reason.

    Keys that a product has nothing for are absent, as they are in the real files.
    """
    counts: Counter[str] = Counter()
    with open_text(folder / "amazon2014" / f"meta_{domain}.json.gz") as file:
        for item in goods(domain, count, seed):
            row, reason = _metadata_row(item, count, seed)
            file.write(f"{row!r}\n")
            counts["lines"] += 1
            if reason:
                counts[reason] += 1
        # A literal that would do harm if it were run as code: it must be rejected.
        file.write("{'asin': 'B000000000', 'title': __import__('os').getcwd()}\n")
        counts.update(("lines", "broken_json"))
    return counts


def _metadata_row(item: Good, count: int, seed: int) -> tuple[dict[str, Any], str]:
    chance = item.chance
    row: dict[str, Any] = {"asin": item.asin}
    reason = ""
    if chance % 37 == 0:
        reason = "missing_title"
    else:
        # Apostrophes make the literal's quotes double.
        row["title"] = f"{item.brand}'s {item.title}" if chance % 9 == 1 else item.title
    if chance % 4:
        row["price"] = item.price
    if chance % 53 != 2:
        row["imUrl"] = f"{_IMAGES}{item.image_id}._SY300_.jpg"
    if chance % 3:
        row["related"] = {
            name: [_neighbour(item, count, seed, name, position) for position in range(1 + chance // 7 % 3)]
            for name in ("also_bought", "also_viewed", "bought_together", "buy_after_viewing")
            if hash_draw(seed, "miniature related 2014", item.asin, name) % 4
        }
    if chance % 5:
        row["salesRank"] = {item.top: 1 + chance % 900_000}
    if chance % 6:
        row["brand"] = item.brand
    row["categories"] = [[item.top, item.middle, item.fine]]
    if chance % 8 == 3:
        row["categories"].append([item.top, item.middle])
    if chance % 2:
        row["description"] = f"A {item.noun.lower()} by {item.brand}.\nIt's made of {item.material.lower()}."
    return row, reason


def _neighbour(item: Good, count: int, seed: int, name: str, position: int) -> str:
    luck = hash_draw(seed, "miniature neighbour 2014", item.asin, name, str(position))
    # A third of the linked products is not in the file.
    return asin_of(item.domain, luck // 3 % count + (count if luck % 3 == 0 else 0))


def write_reviews(folder: Path, domain: str, goods_count: int, users: int, seed: int) -> Counter[str]:
    """Write amazon2014/reviews_<domain>_5.json.gz, JSON as of 2014; return its counts."""
    counts: Counter[str] = Counter()
    with open_text(folder / "amazon2014" / f"reviews_{domain}_5.json.gz") as file:
        for purchase in purchases(domain, goods_count, users, seed):
            item = good(domain, purchase.good, seed)
            day = datetime.fromtimestamp(purchase.seconds, UTC)
            votes = purchase.chance % 12
            row = {
                "reviewerID": user_of(purchase.user),
                "asin": item.asin,
                "reviewerName": f"Shopper {purchase.user}",
                "helpful": [votes // 2, votes],
                "reviewText": review_text(item, purchase),
                "overall": float(purchase.rating),
                "summary": f"{purchase.rating} of 5",
                "unixReviewTime": purchase.seconds,
                "reviewTime": f"{day:%m} {day.day}, {day.year}",
            }
            file.write(json.dumps(row) + "\n")
            counts["lines"] += 1
    return counts
